"""Intervals and p-values against naive loops, SciPy, and what must hold where the truth is known."""

import numpy as np
import pytest
from scipy import stats

from lit3d.callbacks.references import paired_interval
from lit3d.reporting.statistics import _draws, holm, paired


def sample(objects=30, views=4, shift=0.05, seed=0):
    generator = np.random.default_rng(seed)
    names = np.repeat([f"o{i}" for i in range(objects)], views)
    common = np.repeat(generator.normal(0, 0.1, objects), views)
    return common + generator.normal(shift, 0.05, objects * views), names.tolist()


def test_the_interval_is_that_of_the_closing_table():
    gains, names = sample()
    found, expected = paired(gains[:, None], names), paired_interval(gains, names)
    assert (found.mean[0], found.low[0], found.high[0]) == pytest.approx(
        (expected["mean"], expected["low"], expected["high"])
    )
    assert (found.images, found.objects) == (120, 30)


def test_several_scores_at_once_are_each_alone():
    a, names = sample()
    b, _ = sample(shift=0, seed=1)
    both = paired(np.stack([a, b], axis=1), names)
    for k, one in enumerate((a, b)):
        alone = paired(one[:, None], names)
        for part in ("mean", "low", "high", "p"):
            assert getattr(both, part)[k] == pytest.approx(getattr(alone, part)[0])


def test_the_exact_test_is_scipys():
    gains, names = sample(objects=9, views=1, shift=0.03)
    expected = stats.permutation_test((gains,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert paired(gains[:, None], names).p[0] == pytest.approx(expected)


def test_views_of_an_object_are_no_further_evidence():
    gains, names = sample(objects=10, views=1, shift=0.05)
    once, often = paired(gains[:, None], names), paired(np.repeat(gains, 50)[:, None], np.repeat(names, 50).tolist())
    assert often.p[0] == pytest.approx(once.p[0])
    assert often.low[0] == pytest.approx(once.low[0])
    assert often.objects == once.objects == 10


def test_unequal_numbers_of_views_weigh_as_images_do():
    gains, names = np.array([1.0, 1.0, 1.0, 0.0]), ["a", "a", "a", "b"]
    found = paired(gains[:, None], names)
    assert found.mean[0] == 0.75
    assert (found.low[0], found.high[0]) == (0.0, 1.0)  # draws of a alone and of b alone


def test_no_difference_is_found_as_often_as_promised():
    """Under the null, p < 0.05 in one of twenty; the interval misses 0 about as often."""
    found = [paired(sample(objects=25, shift=0, seed=s)[0][:, None], sample(objects=25)[1]) for s in range(300)]
    assert 0.02 < np.mean([f.p[0] < 0.05 for f in found]) < 0.09
    assert np.mean([not f.low[0] <= 0 <= f.high[0] for f in found]) < 0.12
    assert np.mean([paired(sample(objects=25, shift=0.08, seed=s)[0][:, None], sample(objects=25)[1]).p[0] < 0.05
                    for s in range(40)]) > 0.8  # fmt: skip


def test_nothing_at_all_and_a_single_object():
    zero = paired(np.zeros((6, 1)), list("aabbcc"))
    assert (zero.mean[0], zero.low[0], zero.high[0], zero.p[0]) == (0, 0, 0, 1)
    assert paired(np.ones((2, 1)), ["a", "a"]).p[0] == 1  # one object proves nothing


def test_holm_against_its_definition():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.5]) == [0.5]
    assert holm([]) == []


def test_draws_are_kept():
    assert _draws(7) is _draws(7)
    assert (_draws(7).sum(1) == 7).all()
