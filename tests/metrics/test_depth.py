"""Depth errors against NumPy over the pixels that count, alignments against solvers, and failures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lit3d import metrics
from lit3d.errors import UserError
from lit3d.metrics.depth import ALIGNMENTS, LEAST, SCORES, WORST
from lit3d.metrics.point_sets import more_is_better

H, W = 9, 11


def scene(seed=0, b=3):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 3, (b, 1, H, W))
    depth = truth * rng.uniform(0.6, 1.8, truth.shape) + 0.1
    depth[0, 0, :2] = [[-0.5], [0.0]]
    truth[rng.random(truth.shape) < 0.1] = 0
    truth[1, 0, 0, :3] = [math.nan, math.inf, -2]
    return torch.tensor(depth), torch.tensor(truth), torch.tensor(rng.random(truth.shape) < 0.8)


def chosen(depth, truth, mask):
    for d, g, m in zip(depth.numpy(), truth.numpy(), mask.numpy(), strict=True):
        ok = m & np.isfinite(g) & (g > 0)
        yield d[ok], g[ok]


def naive(d, g):
    e = np.log(np.maximum(d, LEAST)) - np.log(g)
    ratio = np.maximum(np.maximum(d, LEAST) / g, g / np.maximum(d, LEAST))
    return {
        "abs_rel": np.mean(np.abs(d - g) / g), "sq_rel": np.mean((d - g) ** 2 / g), "depth_mae": np.mean(np.abs(d - g)),
        "rmse": np.sqrt(np.mean((d - g) ** 2)), "rmse_log": np.sqrt(np.mean(e**2)),
        "log10": np.mean(np.abs(np.log10(np.maximum(d, LEAST)) - np.log10(g))),
        "silog": np.sqrt(np.mean(e**2) - 0.5 * np.mean(e) ** 2),
        "delta1": np.mean(ratio < 1.25), "delta2": np.mean(ratio < 1.25**2), "delta3": np.mean(ratio < 1.25**3),
    }  # fmt: skip


def align(d, g, how):
    if how == "median":
        return d * np.median(g) / np.median(d)
    if how == "scale":
        return d * np.linalg.lstsq(d[:, None], g, rcond=None)[0][0]
    if how == "scale_shift":
        a = np.stack([d, np.ones_like(d)], 1)
        return a @ np.linalg.lstsq(a, g, rcond=None)[0]
    return d


@pytest.mark.parametrize("how", ALIGNMENTS)
def test_every_score_is_numpys_after_every_alignment(how):
    depth, truth, mask = scene()
    got = metrics.depth_scores(depth, truth, mask, how)
    for i, (d, g) in enumerate(chosen(depth, truth, mask)):
        expected = naive(align(d, g, how), g)
        assert set(expected) == set(SCORES)
        for name, value in expected.items():
            key = name if how == "none" else f"{name}_{how}"
            assert float(got[key][i]) == pytest.approx(value, rel=1e-9), key


def test_alignments_undo_what_they_name():
    _, truth, mask = scene()
    for how, depth in (("median", 3 * truth), ("scale", 0.2 * truth), ("scale_shift", 0.5 * truth - 7)):
        got = metrics.depth_scores(depth, truth, mask, how)
        assert float(got[f"abs_rel_{how}"].max()) < 1e-9
        assert float(got[f"delta1_{how}"].min()) == 1
        assert float(metrics.depth_scores(depth, truth, mask)["abs_rel"].min()) > 0.1


def test_a_constant_prediction_can_be_aligned():
    _, truth, mask = scene()
    got = metrics.depth_scores(torch.full_like(truth, 2.0), truth, mask, "scale_shift")
    for i, (_, g) in enumerate(chosen(truth, truth, mask)):
        assert float(got["rmse_scale_shift"][i]) == pytest.approx(g.std())
    around_zero = metrics.depth_scores(torch.zeros_like(truth), truth, mask, "median")
    assert float(around_zero["abs_rel_median"].max()) == pytest.approx(1)


def test_a_threshold_is_strict():
    truth = torch.full((1, 1, 2, 2), 4.0)
    got = metrics.depth_scores(1.25 * truth, truth, torch.ones(1, 1, 2, 2, dtype=torch.bool))
    assert [float(got[f"delta{k}"]) for k in (1, 2, 3)] == [0, 1, 1]


def test_failures_get_the_worst_score_and_leave_the_others_alone():
    depth, truth, mask = scene(b=5)
    alone = metrics.depth_scores(depth[:1], truth[:1], mask[:1])
    depth[1][mask[1]] = math.nan
    depth[2, 0, 3, 3], truth[2, 0, 3, 3], mask[2, 0, 3, 3] = math.inf, 2.0, True
    mask[3] = False
    truth[4] = math.nan
    assert metrics.depth_failure(depth, truth, mask).tolist() == [False, True, True, True, True]
    got = metrics.depth_scores(depth, truth, mask)
    for name, values in got.items():
        assert values[1:].tolist() == [pytest.approx(WORST[name])] * 4
        torch.testing.assert_close(values[:1], alone[name])
        assert more_is_better(name) == (WORST[name] == 0)
        assert more_is_better(f"median_plane/{name}_median") == (WORST[name] == 0)


VALUES = st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 1e-30, 1.0, 2.0, 1000.0])


@settings(max_examples=50, deadline=None)
@given(st.lists(VALUES, min_size=9, max_size=9), st.lists(VALUES, min_size=9, max_size=9),
       st.lists(st.booleans(), min_size=9, max_size=9), st.sampled_from(list(ALIGNMENTS)))  # fmt: skip
def test_scores_are_always_numbers(pred, truth, mask, how):
    depth, target, ok = (torch.tensor(x).reshape(1, 1, 3, 3) for x in (pred, truth, mask))
    assert all(v.isfinite().all() for v in metrics.depth_scores(depth, target, ok, how).values())


def test_an_unknown_alignment_is_a_sentence():
    with pytest.raises(UserError, match="an alignment is one of none, median"):
        metrics.depth_scores(*scene(), "affine")
