"""The torchmetrics classes alone, as a notebook uses them: values, batches, hostile sets, collections."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from torchmetrics import MetricCollection

from lit3d import metrics
from lit3d.errors import UserError

CLASSES = {
    "fscore": lambda: metrics.FScore(percent=7), "precision": lambda: metrics.Precision(percent=7),
    "recall": lambda: metrics.Recall(percent=7), "chamfer_l1": metrics.ChamferDistance,
    "chamfer_l2sq": lambda: metrics.ChamferDistance(squared=True), "emd": lambda: metrics.EarthMoversDistance(30),
}  # fmt: skip


def cloud(b, n, seed):
    return torch.rand(b, n, 3, generator=torch.Generator().manual_seed(seed))


def by_hand(x, y):
    a, b = cKDTree(y).query(x)[0], cKDTree(x).query(y)[0]
    p, r = (a < 0.07).mean(), (b < 0.07).mean()
    table = cdist(x[:30], y[:30])
    return {
        "fscore": 2 * p * r / (p + r) if p + r else 0.0, "precision": p, "recall": r,
        "chamfer_l1": (a.mean() + b.mean()) / 2, "chamfer_l2sq": (a**2).mean() + (b**2).mean(),
        "emd": table[linear_sum_assignment(table)].mean(),
    }  # fmt: skip


def mean_by_hand(name, pred, truth):
    return sum(by_hand(x.numpy(), y.numpy())[name] for x, y in zip(pred, truth, strict=True)) / len(pred)


@pytest.mark.parametrize("name", CLASSES)
def test_uneven_batches_give_the_mean_over_samples(name):
    pred, truth, metric = cloud(5, 40, 0), cloud(5, 60, 1), CLASSES[name]()
    for part in (slice(0, 3), slice(3, 4), slice(4, 5)):
        metric.update(pred[part], truth[part])
    assert float(metric.compute()) == pytest.approx(mean_by_hand(name, pred, truth), abs=1e-6)
    assert metric.higher_is_better == (name in ("fscore", "precision", "recall"))
    metric.reset()
    metric.update(pred[:1], truth[:1])
    assert float(metric.compute()) == pytest.approx(mean_by_hand(name, pred[:1], truth[:1]), abs=1e-6)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kind", ["collapsed", "half", "one point"])
def test_sets_that_try_to_cheat_score_as_the_formula_says(name, kind):
    truth = cloud(2, 60, 0)
    pred = {"collapsed": truth[:, :1].expand(2, 60, 3), "half": truth[:, :30], "one point": truth[:, 4:5]}[kind]
    metric = CLASSES[name]()
    if name == "emd" and kind == "one point":
        with pytest.raises(UserError, match="emd over 30 points"):
            metric.update(pred.contiguous(), truth)
        return
    metric.update(pred.contiguous(), truth)
    assert float(metric.compute()) == pytest.approx(mean_by_hand(name, pred, truth), abs=1e-6)


@pytest.mark.parametrize("name", CLASSES)
def test_failures_count_with_the_worst_score_and_an_empty_truth_is_an_error(name):
    truth, metric = cloud(2, 40, 0), CLASSES[name]()
    broken = truth.clone()
    broken[1, 0, 0] = float("nan")
    metric.update(broken, truth)
    worst = {"chamfer_l1": 3**0.5, "chamfer_l2sq": 6.0, "emd": 3**0.5}.get(name, 0.0)
    perfect = 1.0 if name in ("fscore", "precision", "recall") else 0.0
    assert float(metric.compute()) == pytest.approx((perfect + worst) / 2)
    metric.reset()
    metric.update(truth[:, :0], truth)
    assert float(metric.compute()) == pytest.approx(worst)
    with pytest.raises(UserError, match="empty"):
        metric.update(truth, truth[:, :0])


def test_normal_consistency_takes_normals():
    x, y, u, v = (cloud(3, n, seed) - 0.5 for n, seed in ((20, 0), (30, 1), (20, 2), (30, 3)))
    metric = metrics.NormalConsistency()
    metric.update(x[:1], u[:1], y[:1], v[:1])
    metric.update(x[1:], u[1:], y[1:], v[1:])
    assert float(metric.compute()) == pytest.approx(float(metrics.normal_consistency(x, u, y, v).mean()))
    assert metric.higher_is_better


def test_a_collection_without_groups_keeps_two_radii_apart():
    truth = cloud(1, 30, 0)
    both = MetricCollection({"1": metrics.FScore(1), "50": metrics.FScore(50)}, compute_groups=False)
    both.update(truth + 5, truth)  # both 0
    both.update(truth + 0.1, truth)
    assert {k: float(v) for k, v in both.compute().items()} == {"1": 0.0, "50": 0.5}
