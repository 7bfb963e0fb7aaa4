"""The closing of points on a grid, against its definition and against shapes whose closing is known."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from lit3d.ops.meshing import points_to_mesh
from lit3d.ops.wrapping import CELLS, OFFSET, RADIUS, wrapped
from lit3d.synthesis.occupancy import inside_function
from lit3d.synthesis.shape import Shape


def solid(found):
    return trimesh.Trimesh(found[0].double().numpy(), found[1].numpy(), process=False)


def inside(mesh, places):
    shape = Shape(np.asarray(mesh.vertices), np.asarray(mesh.faces, np.int64),
                  np.ones((len(mesh.faces), 3), np.float32), np.zeros(len(mesh.faces), np.int32))  # fmt: skip
    return inside_function(shape)[1](places.astype(np.float32)) > 0.5


def shell(count, noise=0.0):
    """Evenly over a sphere of radius one half (Fibonacci's lattice)."""
    height, angle = 1 - (2 * np.arange(count) + 1) / count, np.arange(count) * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    p = 0.5 * np.stack([ring * np.cos(angle), ring * np.sin(angle), height], 1)
    return torch.from_numpy(p + noise * np.random.default_rng(0).normal(size=p.shape)).float()


def test_inside_is_what_no_empty_ball_reaches():
    """By the definition, place by place: x is inside if all within radius - offset of it has a point within radius."""
    r = np.random.default_rng(1)
    points, apart = torch.from_numpy(r.uniform(size=(60, 3)) * [1, 0.8, 0.5]).float(), 0.2
    radius, deep = RADIUS * apart, (RADIUS - OFFSET) * apart
    mesh = solid(wrapped(points, apart, 256))
    cell = apart / CELLS
    fine = 0.7 * cell
    around = np.stack(np.meshgrid(*[np.arange(-deep, deep + fine, fine)] * 3), -1).reshape(-1, 3)
    around = around[np.linalg.norm(around, axis=1) < deep]
    places = points.numpy()[r.integers(0, 60, 300)] + 0.08 * r.normal(size=(300, 3))
    nearest = np.linalg.norm(places[:, None, None] + around[None, :, None] - points.numpy()[None, None], axis=-1).min(2)
    margin = radius - nearest.max(1)  # below 0: an empty ball reaches the place
    clear = np.abs(margin) > cell / 2
    assert 30 < (clear & (margin > 0)).sum()
    assert (clear & (margin < 0)).sum() > 30
    assert (inside(mesh, places)[clear] == (margin > 0)[clear]).mean() > 0.99


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_shell_becomes_a_ball_without_a_cavity(noise):
    mesh = solid(wrapped(shell(2000, noise), 0.04, 256))
    assert mesh.is_watertight
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.12)
    assert mesh.volume > 0  # wound outwards


def test_wires_and_sheets_get_a_thickness_and_pieces_stay_apart():
    apart = 0.02
    line = torch.stack([torch.linspace(-0.5, 0.5, 101), *torch.zeros(2, 101)], dim=1)
    side = torch.linspace(-0.3, 0.3, 31)
    sheet = torch.stack([*torch.meshgrid(side, side, indexing="ij"), torch.full((31, 31), 1.0)], -1).reshape(-1, 3)
    mesh = solid(wrapped(torch.cat([line, sheet]), apart, 256))
    assert mesh.is_watertight
    wire, board = sorted(mesh.split(only_watertight=True), key=lambda m: m.centroid[2])
    middle = wire.vertices[np.abs(wire.vertices[:, 0]) < 0.4]
    assert np.linalg.norm(middle[:, 1:], axis=1) == pytest.approx(OFFSET * apart, abs=apart / CELLS)
    flat = board.vertices[np.abs(board.vertices[:, :2]).max(1) < 0.2]
    assert np.abs(flat[:, 2] - 1) == pytest.approx(OFFSET * apart, abs=apart / CELLS)


def test_a_coarse_grid_still_closes():
    mesh = solid(wrapped(shell(2000), 0.04, 24))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.4)


def test_points_without_planes_are_closed_and_surfaces_go_through_poisson():
    sphere = shell(3000)
    assert points_to_mesh(sphere).method == "poisson"
    scattered = points_to_mesh(shell(1024, 0.05))
    assert scattered.method == "closing"
    mesh = solid(scattered)
    assert mesh.is_watertight
    off = np.abs(np.linalg.norm(trimesh.sample.sample_surface(mesh, 5000, seed=0)[0], axis=1) - 0.5)
    assert np.quantile(off, 0.9) < 0.15  # three times the noise
    assert points_to_mesh(shell(1024, 0.05), torch.nn.functional.normalize(shell(1024), dim=1)).method == "poisson"


def test_a_thin_frame_that_poisson_passes_by_is_kept():
    """Rods of a third of the points' spacing: neighbours on one side and on the other look like noise."""
    r = np.random.default_rng(0)
    along, angle = r.uniform(-0.5, 0.5, 3000), r.uniform(0, 2 * np.pi, 3000)
    rod = np.stack([along, 0.002 * np.cos(angle), 0.002 * np.sin(angle)], 1)
    frame = np.concatenate([rod[:1000], rod[1000:2000][:, [1, 0, 2]], rod[2000:][:, [1, 2, 0]]])
    made = points_to_mesh(torch.from_numpy(frame).float(), resolution=96)
    mesh = solid(made)
    assert made.method == "closing"
    assert mesh.is_watertight
    assert cKDTree(mesh.vertices).query(frame)[0].max() < 0.02


@pytest.mark.parametrize("points", [
    torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1.0, 0.0]),
    torch.rand(300, 1, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 3.0]),
    torch.cat([shell(200), shell(200)]), torch.rand(17, 3, generator=torch.Generator().manual_seed(0)),
    1e4 * shell(300, 0.1) + 1e5,
])  # fmt: skip
def test_flat_thin_doubled_few_and_far_points_give_a_closed_mesh(points):
    mesh = solid(points_to_mesh(points))
    assert mesh.is_watertight
    low, high = points.double().numpy().min(0), points.double().numpy().max(0)
    reach = 0.3 * (high - low).max()
    assert (mesh.bounds[0] > low - reach).all()
    assert (mesh.bounds[1] < high + reach).all()
