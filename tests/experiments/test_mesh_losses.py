"""The mesh experiments in small: what each shows must come out of its functions."""

import csv
import zipfile

import pytest
import torch

from experiments.mesh_losses.drawing import against, long_edges
from experiments.mesh_losses.fit import COLUMNS, draw_ladder, draw_targets, ladder, write_table
from experiments.mesh_losses.fitting import TERMS, Recipe, fit, score
from experiments.mesh_losses.laplace import lifted, minimise, rim, sheet, solve
from experiments.mesh_losses.targets import FURNITURE, GENERATED, load
from experiments.mesh_losses.vertices import HEIGHT, crowding, ridge, two_connectivities
from lit3d.errors import UserError
from lit3d.ops.mesh import face_areas


def test_least_uniform_loss_is_the_sparse_solution():
    at, topology = sheet(9)
    held = rim(topology)
    assert int(held.sum()) == 32
    start = torch.where(held[:, None], lifted(at), at)
    found, exact = minimise(start, topology, held), solve(start, topology, held)
    assert float((found - exact).abs().max()) < 1e-4
    assert float((exact - start).abs().max()) > 0.01  # it did move
    assert torch.equal(found[held], start[held])
    free = minimise(start, topology, torch.zeros_like(held))
    assert float((free - free.mean(0)).abs().max()) < 1e-4


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_ridge_is_one_surface(share):
    at, topology = ridge(share)
    area = face_areas(at[None].double(), topology.faces).sum().item()
    assert area == pytest.approx(0.5 + 0.5 * (1 + (HEIGHT / 0.25) ** 2) ** 0.5, rel=1e-5)
    assert float(at[:, 2].max()) == pytest.approx(HEIGHT)


def test_crowding_is_rewarded_by_vertices_only():
    vertex, surface = zip(*crowding(4000).values(), strict=True)
    assert list(vertex) == sorted(vertex, reverse=True)
    assert vertex[-1] < 0.5 * vertex[0]
    assert max(surface) < 1.03 * min(surface)


def test_two_connectivities_of_one_surface():
    at, first, second, shared = two_connectivities(5)
    assert face_areas(at[None], first.faces).sum() == face_areas(at[None], second.faces).sum() == 1
    assert shared == pytest.approx(40 / 72)  # 40 sides of cells are in both, 16 diagonals in one each


def test_generated_targets():
    for target in load(list(GENERATED)):
        low, high = target.vertices.amin(0), target.vertices.amax(0)
        assert float((high - low).max()) == pytest.approx(1, abs=1e-6)
        assert float((high + low).abs().max()) < 1e-6
        points, normals = target.sample(2000, 0)
        if target.convex:
            assert float((points * normals).sum(-1).min()) > 0  # outwards
    with pytest.raises(UserError, match="no target 'ball'; there are box"):
        load(["ball"])


def test_furniture_parts_are_read_from_the_archive(tmp_path):
    with pytest.raises(UserError, match="sweethome3d-furniture"):
        load(["seat"], tmp_path)
    archive, path, _ = FURNITURE["seat"]
    corners = [(x, y, z) for x in (0, 2) for y in (0, 1) for z in (0, 1)]
    quads = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + ["f {} {} {} {}".format(*q) for q in quads]
    with zipfile.ZipFile(tmp_path / f"{archive}.sh3f", "w") as opened:
        opened.writestr(path, "\n".join(lines))
    (target,) = load(["seat"], tmp_path)
    assert (target.topology.euler, target.convex, len(target.vertices)) == (2, False, 8)
    points, normals = target.sample(100, 0)
    assert float((points * normals).sum(-1).min()) > 0


@pytest.fixture(scope="module")
def fits():
    """A box, fitted with set distance alone and with all terms, coarse and short."""
    (target,) = load(["box"])
    every = {name: 1e-3 for name in TERMS}
    recipes = {
        "alone": Recipe(steps=(80,), levels=(3,)),
        "all": Recipe(every | {"uniform_edges": 0.1, "uniform_smoothness": 0.5}, 1000, (2, 3), (80, 40)),
    }
    meshes = {name: fit(target, recipe) for name, recipe in recipes.items()}
    return target, meshes, {name: score(*mesh, target, 5000) for name, mesh in meshes.items()}


def test_terms_cure_what_the_set_distance_breaks(fits):
    _, meshes, rows = fits
    assert all(len(vertices) == 642 for vertices, _ in meshes.values())
    assert rows["alone"]["folded"] > 0.1
    assert rows["alone"]["flipped"] > 0.1
    assert rows["all"]["folded"] < 0.005
    assert rows["all"]["flipped"] < 0.01
    assert rows["all"]["edge_spread"] < rows["alone"]["edge_spread"]
    assert rows["all"]["fscore_2pct"] > 0.9
    assert rows["all"]["euler"] == 2


def test_a_fit_repeats():
    (target,) = load(["pot"])
    recipe = Recipe({"uniform_edges": 0.1}, 200, (1, 2), (5, 5))
    assert torch.equal(fit(target, recipe)[0], fit(target, recipe)[0])


def test_tables_and_figures(fits, tmp_path):
    target, meshes, rows = fits
    rows = {k: row | {"longest_edge": long_edges(*meshes[k]), "seconds": 1.0} for k, row in rows.items()}
    write_table(rows, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as stream:
        read = list(csv.DictReader(stream))
    assert [row["fit"] for row in read] == ["alone", "all"]
    assert set(COLUMNS) < set(read[0])
    draw_ladder(target, meshes, rows, tmp_path / "ladder.png")
    draw_targets({"box": (target, meshes["all"], rows["all"])}, tmp_path / "targets.png")
    assert all((tmp_path / f"{name}.png").stat().st_size > 10_000 for name in ("ladder", "targets"))
    assert against(*meshes["alone"], target).mean() > 0.1 > against(*meshes["all"], target).mean()
    assert len(ladder()) == 7  # seven rungs and the truth are drawn
