"""Points, voxels and fields become closed meshes where they should: against spheres, boxes and counts of voxels."""

from collections import Counter

import numpy as np
import pytest
import torch
import trimesh

from lit3d.errors import UserError
from lit3d.ops.meshing import field_to_mesh, points_to_mesh, voxels_to_mesh
from lit3d.ops.normals import estimated_normals, neighbourhoods, spacing
from lit3d.ops.orientation import outward
from lit3d.ops.poisson import indicator, values_at

BALL = 4 / 3 * np.pi * 0.3**3


def solid(mesh):
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


def sphere_points(count=2000, seed=0, radius=0.3):
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=1)
    return radius * normals, normals


def box_points(sides=(1.0, 0.5, 0.06), count=6000):
    mesh = trimesh.creation.box(extents=sides)
    points, faces = trimesh.sample.sample_surface(mesh, count, seed=0)
    return torch.from_numpy(points).float(), torch.from_numpy(mesh.face_normals[faces]).float()


# --- points --------------------------------------------------------------------------------------------------------


def test_normals_of_a_sphere_and_of_a_board():
    points, normals = sphere_points()
    found = estimated_normals(points)
    assert ((found * normals).sum(-1).abs() > 0.99).float().mean() > 0.98
    assert ((outward(points, found) * normals).sum(-1) > 0.9).float().mean() > 0.99
    board, normals = box_points()
    found = outward(board, estimated_normals(board))
    agree = (found * normals).sum(-1)
    assert (agree > 0.95).float().mean() > 0.9  # the rest lies along the edges
    flat = board[:, :2].abs().lt(torch.tensor([0.45, 0.2])).all(-1)
    assert (agree[flat] > 0.99).float().mean() > 0.99  # both sides of a thin board


def test_spacing_of_an_even_set():
    points, _ = sphere_points(20_000)
    distance, _ = neighbourhoods(points)
    assert spacing(distance) == pytest.approx(np.sqrt(4 * np.pi * 0.09 / 20_000), rel=0.05)


def test_the_indicator_of_a_sphere_is_one_inside():
    points, normals = sphere_points(20_000)
    chi = indicator(points, normals * (4 * np.pi * 0.09 / 20_000), 64, 0.53)
    probes = torch.tensor([[0.0, 0, 0], [0.2, 0, 0], [0, 0.45, 0], [-0.4, 0.3, 0]])
    inside = values_at(chi - values_at(chi, probes[2:3], 0.53), probes, 0.53)
    assert inside.tolist() == pytest.approx([1, 1, 0, 0], abs=0.05)


def test_linear_interpolation_is_exact_for_grid_points_and_wraps():
    grid = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[-0.5, -0.25, 0.0], [0.375, 0.375, 0.375], [0.4375, -0.5, -0.5]])
    wanted = [grid[0, 2, 4], grid[7, 7, 7], (grid[7, 0, 0] + grid[0, 0, 0]) / 2]
    torch.testing.assert_close(values_at(grid, places, 0.5), torch.stack(wanted))


@pytest.mark.parametrize("given", [True, False])
def test_a_sphere_of_points_becomes_a_closed_sphere_wherever_it_lies(given):
    points, normals = sphere_points(3000)
    moved = 5 * points + torch.tensor([3.0, -2.0, 10.0])
    mesh = solid(points_to_mesh(moved, normals if given else None, resolution=96))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(125 * BALL, rel=0.03)
    off = np.linalg.norm(mesh.vertices - (3, -2, 10), axis=1) - 1.5
    assert abs(off.mean()) < 0.01
    assert np.abs(off).max() < 0.06  # of 1.5


@pytest.mark.parametrize("given", [True, False])
def test_a_thin_board_keeps_both_sides(given):
    points, normals = box_points()
    mesh = solid(points_to_mesh(points, normals if given else None, resolution=128))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(1.0 * 0.5 * 0.06, rel=0.15)
    surface, _ = trimesh.sample.sample_surface(mesh, 20_000, seed=0)
    outside = np.maximum(np.abs(surface) - np.array([0.5, 0.25, 0.03]), 0)
    assert np.mean(np.linalg.norm(outside, axis=1) < 0.01) > 0.99


def test_repeated_points_do_no_harm_and_bad_ones_are_refused():
    points, normals = sphere_points(1500)
    twice = solid(points_to_mesh(torch.cat([points, points]), torch.cat([normals, normals]), resolution=64))
    assert twice.is_watertight
    assert twice.volume == pytest.approx(BALL, rel=0.05)
    with pytest.raises(UserError, match="NaN or infinite"):
        points_to_mesh(torch.full((50, 3), torch.nan))
    with pytest.raises(UserError, match="0 points"):
        points_to_mesh(torch.zeros(0, 3))
    with pytest.raises(UserError, match="at least 17 finite ones, got 10 points"):
        points_to_mesh(points[:10])
    with pytest.raises(UserError, match="one place"):
        points_to_mesh(torch.ones(50, 3))
    with pytest.raises(UserError, match="drop repeated points first"):
        points_to_mesh(points[:20].repeat(20, 1))
    with pytest.raises(UserError, match=r"4096 cells a side takes 3023.7 GB and the limit is 4.0 GB: take at most 449"):
        points_to_mesh(points, resolution=4096)


def test_normals_that_point_inwards_enclose_nothing():
    points, normals = sphere_points(1500)
    assert len(points_to_mesh(points, -normals, resolution=48).faces) == 0


# --- voxels --------------------------------------------------------------------------------------------------------


def random_voxels(seed, share, n=9):
    return (torch.rand(n, n, n, generator=torch.Generator().manual_seed(seed)) < share).float()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 1.0])
def test_blocks_have_the_volume_of_their_voxels_and_only_exposed_sides(share):
    voxels = random_voxels(1, share)
    mesh = solid(voxels_to_mesh(voxels, blocks=True))
    padded = np.pad(voxels.numpy(), 1)
    exposed = sum((np.abs(np.diff(padded, axis=axis)) > 0).sum() for axis in range(3))
    assert mesh.volume == pytest.approx(float(voxels.sum()) / 9**3, rel=1e-5)
    assert len(mesh.faces) == 2 * exposed
    directed = Counter(map(tuple, mesh.edges))
    assert all(directed[b, a] == count for (a, b), count in directed.items())  # nothing is open
    edges = Counter(Counter(map(tuple, np.sort(mesh.edges, axis=1))).values())
    assert edges.get(4, 0) <= 0.01 * edges[2]  # two voxels at an edge that hang together around both of its ends
    assert set(edges) <= {2, 4}


def test_blocks_that_touch_in_an_edge_or_a_corner_are_watertight():
    for second in ((1, 1, 0), (1, 1, 1)):
        voxels = torch.zeros(3, 3, 3)
        voxels[0, 0, 0] = voxels[second] = 1
        mesh = solid(voxels_to_mesh(voxels, blocks=True))
        assert mesh.is_watertight
        assert (len(mesh.vertices), len(mesh.faces)) == (16, 24)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 1.0])
def test_smooth_voxels_are_watertight_whatever_touches(share):
    for seed in range(3):
        mesh = solid(voxels_to_mesh(random_voxels(seed, share)))
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert np.abs(mesh.vertices).max() <= 0.5 + 1e-5


def test_smooth_voxels_lie_where_the_voxels_lie():
    line = (torch.arange(32) + 0.5) / 32 - 0.5
    x, y, z = torch.meshgrid(line, line, line, indexing="ij")
    ball = ((x - 0.1) ** 2 + y**2 + (z + 0.1) ** 2).sqrt()
    mesh = solid(voxels_to_mesh(torch.sigmoid(40 * (0.3 - ball))))
    assert mesh.center_mass == pytest.approx([0.1, 0, -0.1], abs=1e-3)
    assert mesh.volume == pytest.approx(BALL, rel=0.01)


def test_bad_voxels():
    for blocks in (False, True):
        assert len(voxels_to_mesh(torch.zeros(4, 4, 4), blocks=blocks).faces) == 0
        with pytest.raises(UserError, match="NaN or infinite"):
            voxels_to_mesh(torch.full((4, 4, 4), torch.nan), blocks=blocks)


# --- fields --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
def test_fields_at_the_published_resolutions(resolution):
    found = field_to_mesh(lambda p: 0.3 - p.norm(dim=-1), 1, resolution)
    assert found.values.shape[-1] == resolution + 1
    assert solid(found.meshes[0]).volume == pytest.approx(BALL, rel=4 * (1.1 / resolution / 0.3) ** 2)
    with pytest.raises(UserError, match="power of two, got 33"):
        field_to_mesh(lambda p: p[..., 0], 1, 33)
