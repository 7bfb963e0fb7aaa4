"""to=mesh: every representation becomes triangles, and the record says how."""

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from lit3d import prediction
from lit3d.build import plain
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere
from lit3d.prediction import predict
from lit3d.structures import DepthMap, Mesh, OccupancyField, PointSet, VoxelGrid

RADIUS = 0.35


class Ball(torch.nn.Module):
    """A decoder that knows one ball."""

    def __init__(self):
        super().__init__()
        self.radius = torch.nn.Parameter(torch.tensor(RADIUS))

    def forward(self, places, code):
        return 20 * (self.radius - places.norm(dim=-1)) + 0 * code.sum()


def ball_points(count=1024):
    normals = torch.randn(1, count, 3, generator=torch.Generator().manual_seed(0))
    return RADIUS * torch.nn.functional.normalize(normals, dim=-1)


def ball_voxels(count=24):
    line = (torch.arange(count) + 0.5) / count - 0.5
    places = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    return 20 * (RADIUS - places.norm(dim=-1))[None]


def ball_depth(size=64, distance=2.0):
    intrinsics = torch.tensor([[[70.0, 0, size / 2], [0, 70, size / 2], [0, 0, 1]]])
    v, u = torch.meshgrid(*[(torch.arange(size) + 0.5 - size / 2) / 70] * 2, indexing="ij")
    a, b, c = u**2 + v**2 + 1, torch.full((size, size), distance), distance**2 - RADIUS**2
    hit = b**2 > a * c
    depth = torch.where(hit, (b - (b**2 - a * c).clamp_min(0).sqrt()) / a, 0.0)
    pose = torch.eye(4)[None].clone()
    pose[0, 2, 3] = distance
    return DepthMap(depth[None, None], hit[None, None], intrinsics=intrinsics, pose=pose)


def balls():
    template = icosphere(3, RADIUS)
    level = torch.zeros(1)
    return {
        "points": PointSet(ball_points()),
        "depth": ball_depth(),
        "mesh": Mesh(template.vertices[None], Topology.of(template.faces)),
        "field": OccupancyField(level, 0.5, (torch.zeros(1, 1),), Ball(), resolution=32),
        "voxels": VoxelGrid(level, 0.5, ball_voxels()),
    }


@pytest.mark.parametrize(("kind", "how"), [
    ("points", "Poisson surface through 1,024 points, their normals estimated"),
    ("depth", "pixels joined to triangles"), ("mesh", "the template's triangles"),
    ("field", "multiresolution marching cubes, 32 cells"),
    ("voxels", "marching cubes between the centres of 24 voxels"),
])  # fmt: skip
def test_a_ball_stays_a_ball_on_every_road(kind, how):
    shape, made = balls()[kind].to_mesh(0)
    assert how in made
    off = np.linalg.norm(shape.vertices, axis=1) - RADIUS
    assert np.abs(off).max() < 0.03
    if kind == "depth":
        assert not shape.is_watertight
        assert shape.face_normals[:, 2].max() < 0  # all towards the camera
        assert shape.vertices[:, 2].max() < 0  # nothing behind
    else:
        assert shape.is_watertight
        assert shape.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.04)


def test_points_that_scatter_as_predicted_ones_do_are_closed():
    scattered = ball_points() + 0.03 * torch.randn(1, 1024, 3, generator=torch.Generator().manual_seed(1))
    shape, made = PointSet(scattered).to_mesh(0)
    assert made == "closing of 1,024 points, whose normals cannot be told"
    assert shape.is_watertight
    off = np.abs(np.linalg.norm(trimesh.sample.sample_surface(shape, 5000, seed=0)[0], axis=1) - RADIUS)
    assert off.mean() < 0.05


def test_blocks_are_for_voxels_alone():
    shape, made = balls()["voxels"].to_mesh(0, blocks=True)
    assert made == "exposed sides of 24 voxels a side"
    assert shape.volume == pytest.approx(float((ball_voxels() > 0).sum()) / 24**3, rel=1e-5)
    for kind in ("points", "depth", "mesh", "field"):
        with pytest.raises(UserError, match="draws the sides of voxels, but .* predicted: take to=mesh"):
            balls()[kind].to_mesh(0, blocks=True)


def test_a_later_sample_of_a_batch_is_the_one_that_is_meant():
    points = torch.cat([ball_points() + 3, ball_points()])
    shape, _ = PointSet(points).to_mesh(1)
    assert np.abs(shape.vertices).max() < 0.5
    levels = torch.tensor([5.0, 0.0])
    shape, _ = VoxelGrid(levels, 0.5, ball_voxels().repeat(2, 1, 1, 1)).to_mesh(1, blocks=True)
    assert shape.volume == pytest.approx(float((ball_voxels() > 0).sum()) / 24**3, rel=1e-5)


@pytest.mark.parametrize(("empty", "sentence"), [
    (PointSet(torch.full((1, 100, 3), torch.nan)), "NaN or infinite"),
    (PointSet(torch.zeros(1, 0, 3)), "got 0 points"),
    (PointSet(torch.zeros(1, 100, 3)), "one place"),
    (VoxelGrid(torch.zeros(1), 0.5, torch.full((1, 8, 8, 8), -1.0)), "encloses nothing"),
    (VoxelGrid(torch.zeros(1), 0.5, torch.full((1, 8, 8, 8), torch.nan)), "not finite"),
    (OccupancyField(torch.full((1,), 1e6), 0.5, (torch.zeros(1, 1),), Ball(), resolution=16), "encloses nothing"),
    (OccupancyField(torch.full((1,), -1e6), 0.5, (torch.zeros(1, 1),), Ball(), resolution=16), "encloses nothing"),
    (OccupancyField(torch.zeros(1), 0.5, (torch.full((1, 1), torch.nan),), Ball(), resolution=16), "not finite"),
    (Mesh(torch.full((1, 12, 3), torch.nan), Topology.of(icosphere(0).faces)), "not finite"),
], ids=["nan points", "no points", "one place", "empty voxels", "nan voxels", "empty field",
        "full field", "nan field", "nan vertices"])  # fmt: skip
def test_what_gives_no_mesh_says_so(empty, sentence):
    with pytest.raises(UserError, match=sentence):
        empty.to_mesh(0)


def test_a_depth_map_of_single_pixels_has_no_mesh():
    whole = ball_depth()
    mask = torch.zeros_like(whole.mask)
    mask[0, 0, 32, 32] = True
    with pytest.raises(UserError, match="there is no mesh"):
        DepthMap(whole.depth, mask, intrinsics=whole.intrinsics, pose=whole.pose).to_mesh(0)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path):
    image = np.full((120, 160, 3), 235, np.uint8)
    image[30:90, 50:110] = (150, 60, 40)
    Image.fromarray(image).save(tmp_path / "box.png")
    return tmp_path / "box.png"


@pytest.fixture
def answering(monkeypatch):
    """Any prediction in the place of a network's."""

    def use(*answers):
        queue = list(answers)
        monkeypatch.setattr(prediction, "_forward", lambda *_: [queue.pop(0)])
        monkeypatch.setattr(prediction, "_check_form", lambda *_: None)

    return use


def run(trained, tmp_path, **keys):
    keys = {"checkpoint": trained, "out": tmp_path / "out", "picture_size": 60} | keys
    overrides = [f"{k}={v}" for k, v in keys.items()]
    return {p.suffix: p for p in predict(plain(compose("predict", overrides)))}


@pytest.mark.parametrize("kind", ["points", "depth", "mesh", "field", "voxels"])
def test_every_representation_becomes_files_of_triangles(trained, tmp_path, photo, answering, kind):
    answering(balls()[kind])
    files = run(trained, tmp_path, image=photo, to="mesh")
    assert {".ply", ".glb", ".obj", ".png", ".json"} <= set(files)
    found = trimesh.load(files[".ply"], process=False)
    assert isinstance(found, trimesh.Trimesh)
    (facts,) = json.loads(files[".json"].read_text())["meshes"].values()
    assert facts["watertight"] is (kind != "depth")
    assert facts["made"] == balls()[kind].to_mesh(0)[1]
    assert (facts["vertices"], facts["faces"]) == (len(found.vertices), len(found.faces))
    with Image.open(files[".png"]) as picture:
        drawn = np.asarray(picture)[40:80, -50:-20]
    assert (drawn < 250).any(2).mean() > 0.05  # the mesh, from the side


def test_without_to_a_set_stays_a_set(trained, tmp_path, photo, answering):
    answering(balls()["points"])
    files = run(trained, tmp_path, image=photo)
    assert isinstance(trimesh.load(files[".ply"]), trimesh.PointCloud)
    assert "meshes" not in json.loads(files[".json"].read_text())


def test_a_prediction_without_a_mesh_is_left_out_and_counted(trained, tmp_path, photo, answering, capsys):
    Image.open(photo).save(photo.with_name("other.png"))
    answering(PointSet(torch.zeros(1, 100, 3)), balls()["points"])
    run(trained, tmp_path, image=photo.parent, to="mesh")
    said = capsys.readouterr().out
    assert "left out: box: all points lie in one place" in said
    assert "1 of 2 images are left out" in said
    assert sorted(p.name for p in (tmp_path / "out").glob("*.ply")) == ["other.ply"]


def test_forms_that_cannot_be_are_refused_before_anything_is_written(trained, tmp_path, photo):
    with pytest.raises(UserError, match="to must be mesh, blocks or null, got 'mehs'. Did you mean 'mesh'"):
        run(trained, tmp_path, image=photo, to="mehs")
    with pytest.raises(UserError, match="this network predicts points: to=mesh"):
        run(trained, tmp_path, image=photo, to="blocks")
    assert not (tmp_path / "out").exists()
