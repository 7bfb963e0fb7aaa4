import pytest
import torch

from lit3d.errors import UserError
from lit3d.metrics import MeshMetrics, SetMetrics, score_points
from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere
from lit3d.structures import Mesh, PointSet

QUALITY = {"edge_spread", "roughness", "folded", "self_intersection", "flipped", "euler"}


def sphere(radius=0.4):
    template = icosphere(2, radius)
    return Mesh(template.vertices.expand(2, -1, -1).clone(), Topology.of(template.faces))


def truth():
    points, normals = sphere().surface(3000, torch.Generator().manual_seed(5))
    return {"points": points, "point_normals": normals}


def test_a_surface_is_scored_once_more_by_many_points():
    prediction, batch = sphere(0.43), truth()
    scores = SetMetrics(points=300, emd=False, dense=4000)(prediction, batch, final=True)
    points, normals = prediction.surface(4000)
    expected = score_points(points, batch["points"], normals=(normals, batch["point_normals"]))
    for name in ("fscore_5pct", "chamfer_l1", "normal_consistency"):
        torch.testing.assert_close(scores[f"{name}_4k"], expected[name])
    assert scores["recall_2pct_4k"][0] >= scores["recall_2pct"][0]
    assert not any(name.startswith("failure_") for name in scores)


def test_only_a_test_and_only_what_has_no_limit_is():
    batch = truth()
    points = PointSet(batch["points"][:, :300])
    for prediction, final, dense in ((sphere(), False, 400), (points, True, 400), (sphere(), True, 0)):
        scores = SetMetrics(points=300, emd=False, dense=dense)(prediction, batch, final)
        assert not any("_400" in name for name in scores)
    with pytest.raises(UserError, match=r"metrics\.dense is a number of points"):
        SetMetrics(dense=-1)


def test_quality_joins_the_scores_of_a_mesh_in_the_test():
    metrics, batch = MeshMetrics(points=300, emd=False, dense=0), truth()
    assert not QUALITY & set(metrics(sphere(), batch, final=False))
    good = metrics(sphere(), batch, final=True)
    assert set(good) >= QUALITY
    assert good["euler"].tolist() == [2, 2]
    assert good["flipped"].max() == good["folded"].max() == 0
    turned = sphere()
    turned.vertices.neg_()  # a point reflection turns it inside out
    assert metrics(turned, batch, final=True)["flipped"].min() == 1


def test_a_mesh_that_is_not_finite_has_the_worst_of_all():
    prediction = sphere()
    prediction.vertices[1, 3, 2] = torch.nan
    scores = MeshMetrics(points=300, emd=False, dense=500)(prediction, truth(), final=True)
    assert scores["failure"].tolist() == [0, 1]
    assert (scores["folded"][1], scores["flipped"][1]) == (1, 1)
    assert scores["fscore_5pct_500"][1] == 0
    assert scores["chamfer_l1_500"][1] == pytest.approx(3**0.5)


def test_a_point_set_has_no_quality():
    batch = truth()
    scores = MeshMetrics(points=300, emd=False)(PointSet(batch["points"][:, :300]), batch, final=True)
    assert not QUALITY & set(scores)
