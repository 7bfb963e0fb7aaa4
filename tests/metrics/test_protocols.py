"""Each protocol against its formula written out in NumPy, and on sets that try to cheat."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from lit3d import metrics
from lit3d.errors import UserError
from lit3d.metrics.protocols import PROTOCOLS, named, score_protocols


def box(points):
    return points.max(0) - points.min(0)


def unit(points):
    return (points - (points.max(0) + points.min(0)) / 2) / box(points).max()


def near(x, y):
    table = cdist(x, y)
    return table.min(1), table.min(0)


def matched(x, y):
    n = min(len(x), len(y))
    table = cdist(x[:n], y[:n])
    return table[linear_sum_assignment(table)]


def shares(a, b, radius):
    p, r = (a < radius).mean(), (b < radius).mean()
    return 2 * p * r / (p + r) if p + r else 0.0, p, r


def by_hand(x, y):
    """x, y in the object's axes; fewer points than any protocol's own count but psgn's and pix3d's 1024."""
    few = y[:1024]
    out = {}
    a, b = near(10 * x, 10 * few)
    out["psgn_paper/chamfer_l2sq"] = (a**2).sum() + (b**2).sum()
    out["psgn_paper/emd"] = matched(10 * x, 10 * few).sum()
    a, b = near(x, y)
    out["psgn_code/chamfer_l2sq"] = 1e4 * ((b**2).mean() + (a**2).mean() / 2)
    out["occnet/chamfer_l1"] = 10 * (a.mean() + b.mean()) / 2
    for percent in ("0.5", "1", "2", "5", "10", "20"):
        scores = shares(a, b, float(percent) / 100)
        out |= {f"what3d/{k}_{percent}pct": v for k, v in zip(("fscore", "precision", "recall"), scores, strict=True)}
    shapenet = 0.57 / np.sqrt((box(y) ** 2).sum())
    a, b = near(shapenet * x, shapenet * y)
    for name in ("p2m", "meshrcnn_p2m"):
        out[f"{name}/chamfer_l2sq"] = 1000 * ((a**2).mean() + (b**2).mean())
        for suffix, squared in (("tau", 1e-4), ("2tau", 2e-4)):
            out[f"{name}/fscore_{suffix}"] = shares(a**2, b**2, squared)[0]
    out["p2m/emd"] = matched(shapenet * x, shapenet * y).mean() * 2466 * 0.01
    a, b = near(10 * x / box(y).max(), 10 * y / box(y).max())
    out["meshrcnn/chamfer_l2sq"] = (a**2).mean() + (b**2).mean()
    out |= {f"meshrcnn/fscore_{r}": shares(a, b, float(r))[0] for r in ("0.1", "0.3", "0.5")}
    centre = (y.max(0) + y.min(0)) / 2
    radius = np.sqrt(((y - centre) ** 2).sum(1)).max()
    a, b = near((x - centre) / radius, (y - centre) / radius)
    out["atlasnet/chamfer_l2sq"] = 1000 * ((a**2).mean() + (b**2).mean())
    out["atlasnet/fscore_0.001sq"] = shares(a**2, b**2, 1e-3)[0]
    a, b = near(unit(x), unit(few))
    out["pix3d/chamfer_l1"] = a.mean() + b.mean()
    out["pix3d/emd"] = matched(unit(x), unit(few)).mean()
    return out


@pytest.fixture(scope="module")
def shapes():
    generator = np.random.default_rng(0)
    truth = generator.uniform(-0.5, 0.5, (2, 1200, 3)) * [1, 0.6, 0.3]
    pred = truth[:, :300] + generator.normal(0, 0.02, (2, 300, 3))
    return pred, truth


def tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(a)).float() for a in arrays]


def test_every_protocol_agrees_with_its_formula(shapes):
    pred, truth = shapes
    scores = score_protocols(*tensors(pred, truth), list(PROTOCOLS))
    assert {k.split("/")[0] for k in scores} == set(PROTOCOLS)
    for i in range(2):
        expected = by_hand(pred[i], truth[i])
        assert set(expected) >= {k for k in scores if "chamfer" in k or "fscore" in k or "emd" in k}
        for name, value in expected.items():
            assert float(scores[name][i]) == pytest.approx(value, rel=1e-3, abs=1e-6), name


def test_diagonal_and_ball_are_measured_along_the_objects_axes(shapes):
    pred, truth = shapes
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [30, 40, 50], degrees=True).as_matrix()
    pose = torch.from_numpy(turn).float().expand(2, 4, 4)
    names = ["p2m", "meshrcnn_p2m", "atlasnet"]
    turned = score_protocols(*tensors(pred @ turn[:3, :3].T, truth @ turn[:3, :3].T), names, pose)
    for name, value in score_protocols(*tensors(pred, truth), names).items():
        torch.testing.assert_close(turned[name], value, rtol=1e-3, atol=4e-3)


def test_precision_and_recall_are_not_swapped_as_in_what3d(shapes):
    _, truth = shapes
    half = truth[:, truth[0, :, 0] > 0][:, :300]
    scores = score_protocols(*tensors(half, truth), ["what3d"])
    assert (scores["what3d/precision_1pct"][0], scores["what3d/recall_1pct"][0] < 0.6) == (1, True)


def test_a_collapsed_cloud_and_one_point_score_finite_and_badly(shapes):
    pred, truth = shapes
    good = score_protocols(*tensors(pred, truth), list(PROTOCOLS))
    for bad in (np.repeat(pred[:, :1], 300, axis=1), pred[:, :1]):
        scores = score_protocols(*tensors(bad, truth), list(PROTOCOLS))
        assert all(v.isfinite().all() for v in scores.values())
        for name, value in scores.items():
            if "chamfer_" in name and not (bad.shape[1] == 1 and name.startswith("psgn_paper")):
                assert (value > good[name]).all(), name
            if "fscore_" in name:
                assert (value <= good[name]).all(), name


@pytest.mark.parametrize("kind", ["nan", "inf", "empty"])
def test_failures_are_counted_at_the_worst_score_in_the_protocols_scale(shapes, kind):
    pred, truth = tensors(*shapes)
    pred = pred[:, :0] if kind == "empty" else pred.clone()
    if kind != "empty":
        pred[0, 5, 1] = float(kind)
    scores = score_protocols(pred, truth, list(PROTOCOLS))
    n = 1024 if kind == "empty" else 300
    diagonal = np.sqrt((box(shapes[1][0]) ** 2).sum())
    expected = {
        "occnet/chamfer_l1": 10 * 3**0.5, "psgn_paper/chamfer_l2sq": 300 * (n + 1024), "psgn_code/chamfer_l2sq": 4.5e4,
        "p2m/chamfer_l2sq": 6000 * (0.57 / diagonal) ** 2, "pix3d/chamfer_l1": 2 * 3**0.5, "pix3d/emd": 3**0.5,
        "psgn_paper/emd": 10 * 3**0.5 * n, "what3d/fscore_20pct": 0,
    }  # fmt: skip
    for name, value in expected.items():
        assert float(scores[name][0]) == pytest.approx(value, rel=1e-4), name
    if kind != "empty":
        alone = score_protocols(pred[1:], truth[1:], list(PROTOCOLS))
        assert all(torch.allclose(scores[k][1:], v) for k, v in alone.items())


def test_protocols_that_share_sets_share_the_search(shapes, monkeypatch):
    calls = []
    original = metrics.protocols.distances
    monkeypatch.setattr(metrics.protocols, "distances", lambda x, y: calls.append(x.shape) or original(x, y))
    score_protocols(*tensors(*shapes), list(PROTOCOLS), matched=False)
    assert len(calls) == 3  # against 1024, against all, each in its own box


def test_names_are_checked():
    assert named("all") == named(["all"]) == tuple(PROTOCOLS)
    assert named(["p2m", "p2m"]) == ("p2m",)
    with pytest.raises(UserError, match="metrics.protocols names p3m; there are psgn_paper"):
        named(["p3m"])
