"""The ledger of roads to a mesh: its scores against a box that is known exactly."""

import csv

import numpy as np
import pytest
import torch
import trimesh

from experiments.to_mesh import ledger
from experiments.to_mesh.roads import HALF, Known, roads, shape_of, voxels
from experiments.to_mesh.scoring import Truth, as_shape, of_mesh, of_structure
from lit3d.errors import UserError
from lit3d.structures import PointSet, VoxelGrid
from lit3d.synthesis.pipeline import prepared

SIDES = (1.0, 0.6, 0.5)


@pytest.fixture(scope="module")
def box():
    mesh = trimesh.creation.box(SIDES)
    return shape_of(prepared(as_shape(mesh)), 8000, 2000)


@pytest.fixture(scope="module")
def rows(box, tmp_path_factory):
    picture = tmp_path_factory.mktemp("ledger") / "ledger.png"
    (found,) = ledger.perfect([("box", box)], picture)
    assert picture.stat().st_size > 10_000
    return {row["road"]: row for row in found}


def test_every_road_has_a_line_and_what_encloses_a_box_encloses_it(rows, box):
    assert len(rows) == 1 + len(list(roads(box)))
    closed = [row for name, row in rows.items() if name != "truth against truth" and "depth" not in name]
    assert all(row["watertight"] and row["iou"] > 0.88 for row in closed)
    assert not any(rows[f"depth {pixels} px"]["watertight"] for pixels in (64, 256))
    assert rows["depth 256 px"]["precision_1pct"] > rows["depth 256 px"]["recall_1pct"] + 0.2  # the hidden side


def test_finer_voxels_and_a_field_of_distances_cost_less(rows):
    assert rows["voxels 64"]["iou"] > rows["voxels 32"]["iou"] > rows["voxels 32, blocks"]["iou"]
    assert rows["distance 64"]["iou"] > rows["inside or outside 64"]["iou"]
    assert rows["distance 64"]["before_iou"] == 1


def test_scores_before_are_those_of_the_representation(box):
    halves = torch.where(torch.arange(64)[:, None, None] < 32, 1.0, -1.0).expand(1, 64, 64, 64)
    given = of_structure(VoxelGrid(torch.zeros(1), 0.55, halves), box.truth)["iou"]
    inside = box.truth.occupancy[0] > 0.5
    left = box.truth.queries[0, :, 0] < 0
    assert given == pytest.approx(float((inside & left).sum() / (inside | left).sum()), abs=0.01)
    points = of_structure(PointSet(box.truth.points[:, :500]), box.truth)
    assert points["precision_1pct"] == 1
    assert "normal_consistency" not in points


def test_a_mesh_that_is_the_truth_scores_as_it():
    mesh = trimesh.creation.box(SIDES)
    points, faces = trimesh.sample.sample_surface(mesh, 3000, seed=1)
    queries = torch.rand(1, 4000, 3, generator=torch.Generator().manual_seed(0)) * 1.1 - 0.55
    inside = (queries.abs() < torch.tensor(SIDES) / 2).all(-1).float()
    normals = torch.from_numpy(np.asarray(mesh.face_normals)[faces]).float()[None]
    row = of_mesh(mesh, Truth(torch.from_numpy(points).float()[None], normals, queries, inside))
    assert (row["iou"], row["watertight"]) == (1, True)
    assert row["fscore_5pct"] > 0.99
    assert row["normal_consistency"] > 0.95


def test_voxels_hold_shares_and_the_field_distances(box):
    grid = voxels(box, 16, 2).grid[0]
    volume = float(grid.sum()) * (2 * HALF / 16) ** 3
    assert volume == pytest.approx(np.prod(SIDES), rel=0.1)
    place = torch.tensor([[[0.0, 0.0, 0.2], [0.0, 0.0, 0.3]]])
    field = Known(box.inside, box.other[0], binary=False)
    assert field(place, torch.zeros(1, 1))[0].tolist() == pytest.approx([0.05, -0.05], abs=0.02)
    assert Known(box.inside, box.other[0], binary=True)(place, torch.zeros(1, 1))[0].tolist() == [1, -1]


def test_a_failure_is_counted_and_says_why(box):
    def refuse():
        raise UserError("nothing there")

    row, mesh = ledger.entry(PointSet(box.truth.points[:, :100]), refuse, box.truth)
    assert mesh is None
    assert (row["failed"], row["reason"]) == (True, "nothing there")
    (line,) = ledger.means([{"road": "a", **row}])
    assert (line["failed"], line["shapes"]) == (1, 1)
    assert "fscore_1pct" not in line


@pytest.mark.slow
def test_predictions_of_networks_have_a_line_each(trained, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["ledger", "--checkpoints", str(trained), "--views", "2", "--out", str(tmp_path)])
    ledger.main()
    with (tmp_path / "predicted.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2
    assert {"before_fscore_5pct", "fscore_5pct", "watertight", "failed"} <= set(rows[0])
    assert (tmp_path / "predicted.png").is_file()
