"""Whether the best of several answers finds both shapes of one image, and one answer neither."""

import pytest

from experiments.several_answers.toy import look, train, two_shapes
from lit3d import ops


def test_the_shapes_differ_in_the_knob_alone():
    left, right = two_shapes(50)
    assert int((left != right).any(1).sum()) == 10
    assert float(ops.emd(left[None], right[None])) == pytest.approx(0.8 / 5, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_several_answers_find_both_shapes_and_one_finds_none(seed):
    two, one = (look(train(n, seed, steps=300, points=32)) for n in (2, 1))
    assert two.both
    assert min(two.shares) > 0.2
    assert not one.both
    assert max(one.shares) < 0.1
    assert two.apart > 0.5 > one.apart
