import pytest
import torch

from lit3d import ops
from lit3d.errors import UserError


def test_random_subset_has_no_repeats_and_follows_its_generator():
    points = torch.arange(300.0).reshape(1, 100, 3)
    one, two = (ops.random_subset(points, 40, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, two)
    assert len(set(one[0, :, 0].tolist())) == 40


def test_farthest_points_of_a_line_are_its_ends_then_its_middle():
    line = torch.zeros(1, 11, 3)
    line[0, :, 0] = torch.arange(11.0)
    assert ops.farthest_point_subset(line, 3)[0].tolist() == [0, 10, 5]


def test_each_farthest_point_is_farthest():
    points = torch.rand(2, 60, 3)
    chosen = ops.farthest_point_subset(points, 10)
    for b in range(2):
        for k in range(1, 10):
            away = torch.cdist(points[b], points[b, chosen[b, :k]]).min(1).values
            assert float(away[chosen[b, k]]) == pytest.approx(float(away.max()))


@pytest.mark.parametrize("count", [0, 6])
def test_impossible_counts_are_refused(count):
    with pytest.raises(UserError, match=f"subset of {count} points was asked of sets of 5"):
        ops.farthest_point_subset(torch.rand(1, 5, 3), count)
