"""MISE against the dense grid, marching cubes against analytic surfaces, and fields of every bad kind."""

import numpy as np
import pytest
import torch
import trimesh
from scipy import ndimage

from lit3d.errors import UserError
from lit3d.ops.isosurface import check_size, marching_cubes, mise, miss_rate, refined, shapes_at_once


def sphere(points):
    return 0.3 - points.norm(dim=-1)


def solid(mesh):
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


class Waves:
    """A smooth random field for each shape: plane waves, in float64 so that a point's value depends on nothing else."""

    def __init__(self, seed, shapes=3, waves=6, frequency=9.0):
        draw = torch.Generator().manual_seed(seed)
        self.k = frequency * torch.randn(shapes, waves, 3, generator=draw, dtype=torch.float64)
        self.phase = 6.3 * torch.rand(shapes, waves, generator=draw, dtype=torch.float64)
        self.asked = 0

    def __call__(self, points):
        self.asked += points.shape[1]
        terms = torch.sin((points.double()[:, :, None] * self.k[:, None]).sum(-1) + self.phase[:, None])
        return sum(terms[..., i] for i in range(terms.shape[-1])).float()


def touches(above, step):
    """Whether each connected region above and below the level holds a point of the grid of every `step`-th point."""
    for side in (above, ~above):
        labels, count = ndimage.label(side)
        if len(set(np.unique(labels[::step, ::step, ::step])) - {0}) < count:
            return False
    return True


def test_mise_is_the_dense_grid_where_regions_touch_its_corners():
    equal = 0
    for seed in range(14):
        field = Waves(seed)
        found, dense = (mise(field, 3, coarse=c, levels=n) for c, n in ((8, 2), (32, 0)))
        for i in range(3):
            if touches((dense.values[i] > 0).numpy(), 4):
                equal += 1
                assert float(miss_rate(found, dense)[i]) == 0
                assert torch.equal(found.meshes[i].faces, dense.meshes[i].faces)
                off = (found.meshes[i].vertices - dense.meshes[i].vertices).abs().max()
                assert float(off) < 1e-6  # 19 of 20 are equal bit for bit; a cap at the border may round
            crossed = found.values[i] > 0  # and no surface of its own is ever invented
            assert (crossed == (dense.values[i] > 0)).float().mean() > 0.98
    assert equal > 12


def test_far_fewer_queries_each_once():
    seen = []

    def field(points):
        seen.append(points)
        return sphere(points)

    found = mise(field, 1, coarse=16, levels=2)
    asked = torch.cat(seen, dim=1)[0]
    assert len(asked) == int(found.queries) == len(asked.unique(dim=0))
    assert int(found.queries) < 65**3 / 8


def test_a_surface_that_leaves_a_cell_through_a_face_is_followed():
    """A needle from a corner of the coarse grid to far away, between the corners: only its root is seen at first."""

    def needle(points):
        offset = points - torch.tensor([0.03, 0.03, 0.0])
        body = 0.16 - points.abs().amax(-1)
        return torch.maximum(body, torch.minimum(0.02 - offset[..., :2].norm(dim=-1), 0.5 - points[..., 2].abs()))

    found, dense = (mise(needle, 1, half=0.55, coarse=c, levels=n) for c, n in ((8, 3), (64, 0)))
    assert float(miss_rate(found, dense)) == 0
    assert float(found.meshes[0].vertices[:, 2].max()) > 0.48


def test_thin_shapes_are_missed_unless_seeded_or_begun_finer():
    def plate(points):
        return 0.006 - (points[..., 1] - 0.03).abs()

    dense = mise(plate, 1, coarse=128, levels=0)
    missed = mise(plate, 1, coarse=16, levels=3)
    assert float(miss_rate(missed, dense)) == 1
    assert len(missed.meshes[0].faces) == 0
    seeds = torch.tensor([[[0.2, 0.03, 0.1]]])  # one is enough: neighbours are followed
    seeded = mise(plate, 1, coarse=16, levels=3, seeds=seeds)
    assert float(miss_rate(seeded, dense)) == 0
    assert float(miss_rate(mise(plate, 1, coarse=128, levels=0), dense)) == 0


def test_a_batch_is_its_shapes_one_by_one():
    radii = torch.tensor([0.1, 0.3, 0.45])
    found = mise(lambda p: radii[:, None] - p.norm(dim=-1), 3, coarse=8, levels=2, chunk=1000)
    for i, radius in enumerate(radii):
        alone = mise(lambda p, r=radius: r - p.norm(dim=-1), 1, coarse=8, levels=2)
        assert torch.equal(found.meshes[i].vertices, alone.meshes[0].vertices)
        assert int(found.queries[i]) == int(alone.queries)


def test_spheres_are_closed_wound_outwards_and_converge():
    errors = []
    for cells in (8, 16, 32):
        mesh = solid(mise(sphere, 1, coarse=8, levels={8: 0, 16: 1, 32: 2}[cells]).meshes[0])
        assert mesh.is_watertight
        errors.append(4 / 3 * np.pi * 0.3**3 - mesh.volume)
    assert errors[0] > 0
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)  # second order
    level = solid(mise(lambda p: torch.exp(-p.square().sum(-1)), 1, coarse=32, levels=0, level=0.9).meshes[0])
    assert np.linalg.norm(level.vertices, axis=1) == pytest.approx((-np.log(0.9)) ** 0.5, abs=1e-3)


def test_newton_steps_put_vertices_on_the_surface():
    def sharp(points):  # logits that rise and fall, as networks give
        return 20 * torch.tanh(6 * sphere(points))

    plain, moved = (mise(sharp, 1, coarse=8, levels=1, refine=n).meshes[0] for n in (0, 3))
    off, rest = ((mesh.vertices.norm(dim=1) - 0.3).abs().max() for mesh in (plain, moved))
    assert off > 1e-3
    assert rest < 1e-6
    assert torch.equal(plain.faces, moved.faces)
    flat = refined(lambda p: 0 * p.sum(-1) + 1.0, [plain])[0]  # no gradient: nothing moves
    assert torch.equal(flat.vertices, plain.vertices)


def test_a_surface_is_closed_at_the_border():
    mesh = solid(mise(lambda p: 0.2 - p[..., 0], 1, coarse=4, levels=2).meshes[0])
    assert mesh.is_watertight
    assert mesh.bounds == pytest.approx(np.array([[-0.55] * 3, [0.2, 0.55, 0.55]]), abs=1e-4)


@pytest.mark.parametrize("constant", [-3.0, 0.0, 3.0])
def test_empty_and_full_fields_have_no_surface(constant):
    found = mise(lambda p: torch.full(p.shape[:2], constant), 2, coarse=4, levels=2)
    assert [len(mesh.faces) for mesh in found.meshes] == [0, 0]
    assert found.queries.tolist() == [125, 125]
    assert refined(sphere, found.meshes)[0].vertices.shape == (0, 3)


def test_values_of_exactly_the_level_leave_a_closed_mesh():
    grid = torch.zeros(9, 9, 9)
    grid[2:7, 2:7, 2:7] = torch.randint(-1, 2, (5, 5, 5), generator=torch.Generator().manual_seed(0)).float()
    mesh = solid(marching_cubes(grid))
    assert mesh.is_watertight
    assert mesh.area_faces.min() >= 0
    assert np.isfinite(mesh.vertices).all()


def test_values_that_are_not_finite():
    def broken(points):
        values = sphere(points)
        values[1, 3] = torch.nan
        return values

    with pytest.raises(UserError, match=r"shapes \[1\] of the batch has values that are NaN.*lower rate"):
        mise(broken, 3, coarse=4, levels=1)
    found = mise(broken, 3, coarse=8, levels=1, strict=False)
    assert found.finite.tolist() == [True, False, True]
    assert [len(mesh.faces) > 0 for mesh in found.meshes] == [True, False, True]
    with pytest.raises(UserError, match="NaN or infinite"):
        marching_cubes(torch.full((3, 3, 3), torch.inf))


def test_memory_is_named_before_it_is_taken():
    def never(points):
        raise AssertionError("asked")

    with pytest.raises(UserError, match=r"1024 cells a side for 8 shapes takes 206.8 GB .* is 4.0 GB: .* 274 cells"):
        mise(never, 8, coarse=256, levels=2)
    for cells in (64, 256, 512):
        count = shapes_at_once(cells)
        check_size(count, cells)
        with pytest.raises(UserError, match="the limit"):
            check_size(count + 1, cells)
    with pytest.raises(UserError, match="at least one shape"):
        mise(never, 1, coarse=0)
    with pytest.raises(UserError, match="grids of one size"):
        miss_rate(mise(sphere, 1, coarse=4, levels=0), mise(sphere, 1, coarse=4, levels=1))
