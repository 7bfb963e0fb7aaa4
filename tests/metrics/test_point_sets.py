import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from lit3d import metrics
from lit3d.metrics.point_sets import worst


def cloud(b, n, seed):
    return torch.rand(b, n, 3, generator=torch.Generator().manual_seed(seed))


def by_hand(x, y, radius):
    a, b = cKDTree(y).query(x)[0], cKDTree(x).query(y)[0]
    p, r = (a < radius).mean(), (b < radius).mean()
    return {
        "chamfer_l1": (a.mean() + b.mean()) / 2, "chamfer_l2sq": (a**2).mean() + (b**2).mean(),
        "precision_5pct": p, "recall_5pct": r, "fscore_5pct": 2 * p * r / (p + r) if p + r else 0.0,
    }  # fmt: skip


def test_scores_agree_with_kd_trees():
    pred, truth = cloud(4, 200, 0), cloud(4, 300, 1)
    scores = metrics.score_points(pred, truth)
    for i in range(4):
        for name, value in by_hand(pred[i].numpy(), truth[i].numpy(), 0.05).items():
            assert float(scores[name][i]) == pytest.approx(value, abs=1e-6), name


def test_two_single_points_at_a_known_distance():
    a, b = torch.zeros(1, 1, 3), torch.tensor([[[0.03, 0.0, 0.04]]])
    scores = metrics.score_points(a, b, percents=(4, 6), emd_points=1)
    assert float(scores["chamfer_l1"]) == pytest.approx(0.05)
    assert float(scores["chamfer_l2sq"]) == pytest.approx(2 * 0.0025)
    assert float(scores["emd"]) == pytest.approx(0.05)
    assert (float(scores["fscore_4pct"]), float(scores["fscore_6pct"])) == (0.0, 1.0)


def test_a_radius_is_strict():
    d = metrics.distances(torch.zeros(1, 1, 3), torch.tensor([[[0.5, 0, 0]]]))
    assert float(metrics.precision(d, 0.5)) == 0
    assert float(metrics.precision(d, 0.5001)) == 1


def test_the_collapsed_cloud_and_the_missing_half():
    line = torch.zeros(1, 10, 3)
    line[0, :, 0] = torch.arange(10.0)
    collapsed = line[:, :1].expand(1, 10, 3).contiguous()
    d = metrics.distances(collapsed, line)
    assert float(metrics.precision(d, 0.5)) == 1
    assert float(metrics.fscore(d, 0.5)) == pytest.approx(2 * 0.1 / 1.1)
    assert float(metrics.fscore(metrics.distances(line[:, :5].contiguous(), line), 0.5)) == pytest.approx(2 * 0.5 / 1.5)


@pytest.mark.parametrize("kind", ["nan", "inf", "empty"])
def test_failures_are_counted_with_the_worst_score(kind):
    truth = cloud(2, 50, 0)
    pred = truth[:, :0] if kind == "empty" else truth.clone()
    if kind != "empty":
        pred[1, 3, 0] = float(kind)
    scores = metrics.score_points(pred, truth, emd_points=20)
    bad = [0, 1] if kind == "empty" else [1]
    assert scores["failure"].tolist() == [float(i in bad) for i in range(2)]
    for name, values in scores.items():
        if name != "failure":
            assert all(float(values[i]) == pytest.approx(worst(name)) for i in bad), name
    if kind != "empty":
        assert float(scores["fscore_5pct"][0]) == 1
        assert float(scores["emd"][0]) == 0


def test_worst_values_are_the_stated_ones():
    assert worst("fscore_2pct") == worst("recall_1pct") == 0
    assert worst("chamfer_l1") == worst("emd") == math.sqrt(3)
    assert worst("chamfer_l2sq") == 6


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_scores_stay_in_their_ranges(n, m, seed):
    scores = metrics.score_points(cloud(1, n, seed), cloud(1, m, seed + 1))
    for name, value in scores.items():
        assert 0 <= float(value) <= (1 if "pct" in name or name == "failure" else 6), name


def test_means_are_right_for_uneven_batches():
    pred, truth = cloud(5, 40, 0), cloud(5, 40, 1)
    metric = metrics.SetScore("fscore_5pct")
    metric.update(pred[:3], truth[:3])
    metric.update(pred[3:], truth[3:])
    expected = metrics.score_points(pred, truth, (5,))["fscore_5pct"].mean()
    assert float(metric.compute()) == pytest.approx(float(expected))
    assert metric.higher_is_better
    assert not metrics.SetScore("emd").higher_is_better


def test_equal_first_values_do_not_merge_metrics():
    table = metrics.ScoreTable()
    table.update({"fscore_1pct": torch.zeros(2), "fscore_5pct": torch.zeros(2)})
    table.update({"fscore_1pct": torch.zeros(2), "fscore_5pct": torch.ones(2)})
    assert {k: float(v) for k, v in table.compute().items()} == {"fscore_1pct": 0.0, "fscore_5pct": 0.5}


def test_the_truth_resampled_has_the_ceiling_of_the_formula():
    """P = R = 1 - exp(-pi tau^2 n / A) for uniform samples of a flat square of area 1."""
    rng = np.random.default_rng(0)
    square = [np.c_[rng.random((n, 2)), np.zeros(n)].astype(np.float32)[None] for n in (1024, 1024)]
    f = metrics.score_points(*(torch.from_numpy(s) for s in square), percents=(2,))["fscore_2pct"]
    assert float(f) == pytest.approx(1 - math.exp(-math.pi * 0.02**2 * 1024), abs=0.03)
