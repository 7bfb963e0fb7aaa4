import pytest
import torch

from lit3d.metrics import FieldMetrics, iou_of, volumetric_iou
from lit3d.metrics.point_sets import more_is_better
from lit3d.structures import VoxelGrid


def test_iou_is_that_of_sets():
    torch.manual_seed(0)
    a, b = torch.rand(3, 50) > 0.4, torch.rand(3, 50) > 0.6
    found = volumetric_iou(a, b)
    for i in range(3):
        ours, theirs = (set(x[i].nonzero().flatten().tolist()) for x in (a, b))
        assert float(found[i]) == pytest.approx(len(ours & theirs) / len(ours | theirs))


def test_empty_against_empty_is_one_and_against_something_zero():
    nothing, some = torch.zeros(1, 4, dtype=torch.bool), torch.tensor([[True, False, False, False]])
    pairs = (nothing, nothing), (nothing, some), (some, nothing)
    assert [float(volumetric_iou(*pair)) for pair in pairs] == [1, 0, 0]


def test_broken_values_are_failures_and_unknown_truth_is_unknown():
    values = torch.tensor([[1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")], [1.0, -1.0]])
    truth = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [float("nan")] * 2])
    found = iou_of(values, 0.0, truth)
    assert found[:3].tolist() == [1, 0, 0]
    assert found[3].isnan()


def test_the_level_is_the_structures_own():
    values = torch.tensor([[0.2, 0.6]])
    truth = torch.tensor([[0.0, 1.0]])
    assert [float(iou_of(values, torch.tensor([[t]]), truth)) for t in (0.1, 0.5, 0.7)] == [0.5, 1, 0]


def batch(count=2, q=20_000):
    torch.manual_seed(0)
    queries = torch.rand(count, q, 3) - 0.5
    points = torch.nn.functional.normalize(torch.randn(count, 500, 3), dim=2)
    return {"queries": queries, "occupancy": (queries.norm(dim=2) < 0.3).float(), "points": 0.3 * points,
            "point_normals": points}  # fmt: skip


def ball(radius, count=2, r=32):
    centres = (torch.arange(r) + 0.5) / r - 0.5
    away = torch.stack(torch.meshgrid(centres, centres, centres, indexing="ij"), -1).norm(dim=-1)
    return VoxelGrid(torch.zeros(count), 0.5, (radius - away).expand(count, -1, -1, -1))


def test_a_test_scores_volume_and_surface_and_validation_neither():
    metrics = FieldMetrics(points=200, emd=False, dense=0)
    scores = metrics(ball(0.24), batch(), final=True)
    torch.testing.assert_close(scores["iou"], torch.full((2,), 0.8**3), atol=0.03, rtol=0)
    assert {"fscore_5pct", "normal_consistency", "failure"} <= set(scores)
    assert metrics(ball(0.24), batch(), final=False) == {}
    assert metrics.needs == ("queries", "occupancy")
    assert more_is_better("iou")


def test_an_empty_field_scores_worst_and_is_counted():
    scores = FieldMetrics(points=50, emd=True, dense=100)(ball(-1.0), batch(), final=True)
    assert scores["failure"].tolist() == [1, 1]
    assert scores["iou"].tolist() == [0, 0]
    assert scores["fscore_5pct"].tolist() == [0, 0]
    assert float(scores["chamfer_l1"][0]) == pytest.approx(3**0.5)
