"""Inside and outside: exact for closed parts, sound for broken meshes, refused where nobody can know."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from lit3d.data import ShapeDataModule
from lit3d.data.reader import DatasetReader
from lit3d.errors import UserError
from lit3d.ops.kernels.crossings import columns, crossings
from lit3d.synthesis import GrammarSource, synthesize
from lit3d.synthesis import occupancy as occupancy_module
from lit3d.synthesis.occupancy import closed, inside_function, occupancy, votes
from lit3d.synthesis.pipeline import prepared
from lit3d.synthesis.queries import HALF, far_queries, near_queries, uniform_queries
from lit3d.synthesis.shape import Shape, UnusableMeshError

sys.path.insert(0, str(Path(__file__).parent))

from boxes import SMALL, BoxSource, box

RNG = np.random.default_rng


def shape_of(mesh: trimesh.Trimesh) -> Shape:
    count = len(mesh.faces)
    return Shape(np.array(mesh.vertices, float), np.array(mesh.faces, np.int64), np.zeros((count, 3), np.float32),
                 np.zeros(count, np.int32))


def queries(count=20_000, seed=0):
    return RNG(seed).uniform(-HALF, HALF, (count, 3)).astype(np.float32)


def torus() -> tuple[Shape, np.ndarray]:
    """A torus, and which queries are inside of the analytic one; 7 in 1,000 of it are cut off by the polygons."""
    mesh = trimesh.creation.torus(0.32, 0.16, major_sections=96, minor_sections=48)
    q = queries()
    return shape_of(mesh), (np.hypot(np.hypot(q[:, 0], q[:, 1]) - 0.32, q[:, 2]) < 0.16)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_signed_crossings_are_the_winding_number_of_overlapping_boxes():
    """Analytic: each box that holds a query counts one, also where queries lie on the planes and edges of faces."""
    corners = np.array([(-0.5, -0.5, -0.5), (-0.25, -0.25, -0.25), (0, -0.5, -0.25)])
    sizes = np.array([(0.5, 0.5, 0.75), (0.75, 0.5, 0.25), (0.25, 1.0, 0.5)])
    parts = [trimesh.creation.box(bounds=[c, c + s]) for c, s in zip(corners, sizes, strict=True)]
    mesh = trimesh.util.concatenate(parts)
    line = np.arange(-0.5625, 0.6, 0.0625)  # every other one lies on planes of the boxes
    grid = np.stack(np.meshgrid(line, line + 1 / 64, line, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)
    signed, above, below = (np.empty(len(grid), np.int32) for _ in range(3))
    for cells in (1, 8, 40):
        crossings(columns(np.array(mesh.vertices), np.array(mesh.faces, np.int64), cells), grid, signed, above, below)
        assert not ((above + below) % 2).any()  # a closed mesh is never crossed an odd number of times
        lower, upper = grid[:, None] - corners, corners + sizes - grid[:, None]
        inner, outer = ((lower > 0) & (upper > 0)).all(-1).sum(1), ((lower >= 0) & (upper >= 0)).all(-1).sum(1)
        assert ((inner <= signed) & (signed <= outer)).all()
        assert (signed == inner)[inner == outer].all()
        assert (inner == outer).sum() > 2000


@pytest.mark.parametrize("category", ["airplane", "cabinet", "lamp", "mug", "chair"])
def test_grammar_shapes_are_the_union_of_their_parts(category):
    source = GrammarSource(2, categories=[category])
    for item in source.items():
        shape, q = prepared(source.load(item)).shape, queries(3000)
        method, certainty = inside_function(shape)
        parts = trimesh.Trimesh(shape.vertices, shape.faces, process=False).split(only_watertight=False)
        wanted = np.any([part.contains(q) for part in parts if part.is_watertight], axis=0)
        assert method == "closed"
        assert len(parts) > 1
        assert (certainty(q) > 0.5).tolist() == wanted.tolist()


def test_what_counts_as_closed():
    sphere = trimesh.creation.icosphere(subdivisions=1, radius=0.5)
    v, f = np.array(sphere.vertices), np.array(sphere.faces, np.int64)
    assert closed(v, f)
    assert not closed(v, f[1:])  # a hole
    assert not closed(v, f[:, ::-1])  # inside out
    assert not closed(v, np.concatenate([f[:1, ::-1], f[1:]]))  # one face turned
    assert not closed(v, np.concatenate([f, f]))  # twice
    both = np.concatenate([v, 0.5 * v])
    assert not closed(both, np.concatenate([f, f[:, ::-1] + len(v)]))  # a hollow ball: not a union of parts


def broken(kind: str) -> tuple[Shape, np.ndarray]:
    shape, inside = torus()
    faces, chance = shape.faces.copy(), RNG(1).random(len(shape.faces))
    if kind == "inside out":
        faces = faces[:, ::-1]
    if kind == "30 % turned":
        faces[chance < 0.3] = faces[chance < 0.3][:, ::-1]
    if kind == "hole":
        faces = faces[chance > 0.011]
    return replace(shape, faces=np.ascontiguousarray(faces)), inside


@pytest.mark.parametrize("kind", ["inside out", "30 % turned", "hole"])
def test_broken_meshes_with_libigl(kind):
    pytest.importorskip("igl")
    shape, inside = broken(kind)
    method, certainty = inside_function(shape)
    assert method == "winding"
    assert iou(certainty(queries()) > 0.5, inside) > 0.985


@pytest.mark.parametrize(("kind", "least"), [("inside out", 0.985), ("30 % turned", 0.985), ("hole", 0.975)])
def test_broken_meshes_without_libigl(kind, least, monkeypatch):
    monkeypatch.setattr(occupancy_module.importlib.util, "find_spec", lambda _: None)
    shape, inside = broken(kind)
    method, certainty = inside_function(shape)
    assert method == "parity"
    assert iou(certainty(queries()) > 0.5, inside) > least
    assert set(np.unique(np.round(6 * votes(shape.vertices, shape.faces, queries(2000)), 5))) <= set(range(7))


def test_sheets_and_nothing_are_refused():
    sheet = replace(box(), vertices=box().vertices * (1, 1, 0), faces=box().faces[:4])
    found = occupancy(sheet, np.zeros((5, 3), np.float32), 1000, 0.02, RNG(0))
    assert "open or flat surface" in found.failure or "ambiguous" in found.failure
    for faces in (np.zeros((0, 3), np.int64), box().faces + 1, box().faces[:2]):
        with pytest.raises(UnusableMeshError, match="cannot enclose anything"):
            inside_function(replace(box(), faces=faces))
        assert "cannot enclose" in occupancy(replace(box(), faces=faces), np.zeros((0, 3)), 10, 0.02, RNG(0)).failure
    nan = replace(box(), vertices=np.full((8, 3), np.nan))
    assert occupancy(nan, np.zeros((0, 3)), 10, 0.02, RNG(0)).failure


def test_queries_are_uniform_and_each_block_covers_the_cube():
    shift = RNG(3).random(3)
    q = uniform_queries(0, 64_000, shift)
    assert q.dtype == np.float32
    assert np.abs(q).max() <= HALF
    np.testing.assert_array_equal(q[1000:1100], uniform_queries(1000, 100, shift))
    for block in (q, q[5000:7048]):
        counts = np.histogramdd(block, 4, [(-HALF, HALF)] * 3)[0] / len(block) * 64
        # Independent draws of 2,048 would spread by 0.18 a cell.
        assert counts.std() < 0.1
    ball = (np.linalg.norm(q, axis=1) < 0.3).mean()
    assert ball == pytest.approx(4 / 3 * np.pi * 0.3**3 / 1.1**3, abs=5e-4)  # independent draws: 1.1e-3
    moved = near_queries(np.zeros((20_000, 3), np.float32), 0, shift, 0.02)
    assert moved.mean(0) == pytest.approx([0, 0, 0], abs=2e-4)
    assert moved.std(0) == pytest.approx([0.02] * 3, rel=0.01)
    assert np.abs(np.corrcoef(moved.T) - np.eye(3)).max() < 0.03
    far = far_queries(RNG(0), 500)
    assert (np.abs(far).max(1) > HALF).all()
    assert np.linalg.norm(far, axis=1).max() <= HALF * 3**0.5 + 1e-6


def test_a_dataset_gives_back_what_was_asked(tmp_path):
    settings = replace(SMALL, queries=999, near_queries=30, keep_meshes=True)
    synthesize(BoxSource(3), tmp_path / "d", settings)
    reader = DatasetReader(tmp_path / "d")
    assert (reader.query_count, reader.near_count) == (999, 30)
    for entry in reader.objects:
        assert entry.occupancy == "closed"
        half = np.array(reader.description(entry.object)["extents"]) / 2
        for near in (False, True):
            q, inside = reader.queries(entry.object, near=near)
            np.testing.assert_array_equal(inside, (np.abs(q) < half).all(1))
            part = reader.queries(entry.object, 13, 9, near=near)
            np.testing.assert_array_equal(part[0], q[13:22])
            np.testing.assert_array_equal(part[1], inside[13:22])
            assert inside.any()
        distance = np.linalg.norm(q - reader.point_array(entry.object, "points", 0, 30), axis=1)
        assert 0 < distance.min()
        assert distance.max() < 0.11
    assert not list(reader.verify())
    assert reader.info["counts"]["occupancy"] == {"closed": 3}
    assert not (tmp_path / "d/occupancy_failures.csv").exists()
    with pytest.raises(UserError, match=r"have 999 queries, 990 to 1,000 were asked for"):
        reader.queries(0, 990, 10)


class SheetSource(BoxSource):
    """Every other box is a sheet."""

    def items(self):
        return super().items()[:4]

    def load(self, item):
        mesh = super().load(item)
        if int(item.object[4]) % 2 == 0:
            return mesh
        return replace(mesh, faces=mesh.faces[:3], colours=mesh.colours[:3], parts=mesh.parts[:3])


def test_a_mesh_that_encloses_nothing_is_listed_and_still_serves_images(tmp_path):
    synthesize(SheetSource(4), tmp_path / "d", replace(SMALL, queries=500))
    reader = DatasetReader(tmp_path / "d")
    assert [reader.knows_inside(name) for name in ("box-0", "box-1", "box-2", "box-3")] == [True, False, True, False]
    assert reader.info["counts"]["occupancy"] == {"closed": 2, "failed": 2}
    lines = (tmp_path / "d/occupancy_failures.csv").read_text().splitlines()
    assert lines == ["object,reason", "box-1,3 faces cannot enclose anything", "box-3,3 faces cannot enclose anything"]
    assert reader.image("box-1", 0).shape == (16, 16, 4)
    data = ShapeDataModule("sheets", tmp_path / "d", points=10, test_points=20, queries=50)
    assert {name for name, _ in data.dataset("train").rows} == {"box-0", "box-2", "box-3"}
    data.need(["queries", "occupancy"])
    assert {name for name, _ in data.dataset("train").rows} == {"box-0", "box-2"}
    assert data.dataset("test")[0]["occupancy"].isnan().all()  # box-1: a test shows it
    with pytest.raises(UserError, match=r"does not say what is inside of 'box-1': see occupancy_failures.csv"):
        reader.queries("box-1")


def test_datasets_from_before_are_taken_as_they_are(tmp_path):
    """Queries change no other byte; a finished dataset without them is no other dataset, unless a new one is wanted."""
    synthesize(BoxSource(3), tmp_path / "d", replace(SMALL, queries=0))
    info = (tmp_path / "d/dataset.json").read_text()
    for key in ("queries", "near_queries", "near_sigma"):  # as they were written before
        info = "\n".join(line for line in info.split("\n") if f'"{key}"' not in line)
    (tmp_path / "d/dataset.json").write_text(info)
    before = {p.name: p.read_bytes() for p in (tmp_path / "d/shards").iterdir()}
    synthesize(BoxSource(3), tmp_path / "d", SMALL)
    assert {p.name: p.read_bytes() for p in (tmp_path / "d/shards").iterdir()} == before
    old = DatasetReader(tmp_path / "d")
    assert (old.query_count, old.near_count, old.knows_inside("box-1")) == (0, 0, False)
    with pytest.raises(UserError, match="views: 2 there, 3 asked for"):
        synthesize(BoxSource(3), tmp_path / "d", replace(SMALL, views=3))
    data = ShapeDataModule("boxes", tmp_path / "d", points=10, test_points=20)
    assert len(data.dataset("train")) == 4
    data.need(["queries", "occupancy"])
    with pytest.raises(UserError, match=r"was made without them: make it anew with .*overwrite=true"):
        data.dataset("train")
    points, picture = old.point_array("box-1", "points"), old.image("box-1", 1)
    synthesize(BoxSource(3), tmp_path / "d", replace(SMALL, queries=100), overwrite=True)
    new = DatasetReader(tmp_path / "d")
    assert new.query_count == 100
    np.testing.assert_array_equal(new.point_array("box-1", "points"), points)
    np.testing.assert_array_equal(new.image("box-1", 1), picture)
    with pytest.raises(UserError, match="queries: 100 there, 200 asked for"):
        synthesize(BoxSource(3), tmp_path / "d", replace(SMALL, queries=200))
