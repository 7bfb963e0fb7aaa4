import numpy as np
import pytest
import torch
from torch import nn

from lit3d.ops.isosurface import marching_cubes
from lit3d.structures import OccupancyField, VoxelGrid
from lit3d.structures import field as field_module


class Ball(nn.Module):
    """The code is the radius: radius - |q|, times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.asked = 0

    def forward(self, places, code):
        self.asked += places.shape[0] * places.shape[1]
        return self.weight * (code - places.norm(dim=2))


def balls(radii=(0.3, 0.4), **options):
    code = torch.tensor(radii)[:, None]
    options = {"resolution": 32} | options
    return OccupancyField(torch.zeros(len(radii)), 0.55, (code,), Ball(), **options)


def grids(r=24, half=0.5, radii=(0.3, 0.4)):
    centres = (torch.arange(r) + 0.5) / r * 2 * half - half
    away = torch.stack(torch.meshgrid(centres, centres, centres, indexing="ij"), -1).norm(dim=-1)
    return VoxelGrid(torch.zeros(len(radii)), half, torch.stack([10 * (radius - away) for radius in radii]))


@pytest.mark.parametrize("solid", [balls(), grids()], ids=["field", "voxels"])
def test_a_ball_has_its_surface_normals_and_inside(solid):
    points, normals = solid.surface(500)
    torch.testing.assert_close(points.norm(dim=2).mean(1), torch.tensor([0.3, 0.4]), atol=5e-3, rtol=0)
    assert float((normals * points / points.norm(dim=2, keepdim=True)).sum(2).min()) > 0.9  # outwards
    places = torch.rand(2, 1000, 3) - 0.5
    expected = places.norm(dim=2) < torch.tensor([[0.3], [0.4]])
    assert float((solid.inside(places) == expected).float().mean()) > 0.98
    mesh = solid.to_trimesh(1)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.03)


def test_the_surface_is_extracted_once_and_copies_share_it():
    field = balls()
    field.surface(10)
    asked = field.decoder.asked
    assert asked >= sum(field.asked) == 2 * 33**3  # MISE pads shapes that ask for less
    for copy in (field, field.to("cpu"), field.float(), field.detach(), field.select(1)):
        copy.surface(10)
        copy.to_trimesh(0)
    assert field.decoder.asked == asked
    one = field.select(1)
    assert one.asked == field.asked[1:]
    torch.testing.assert_close(one.surface(50)[0].norm(dim=2).mean(), torch.tensor(0.4), atol=5e-3, rtol=0)


def test_many_shapes_are_extracted_in_groups_as_one_by_one():
    radii = tuple(0.2 + 0.02 * k for k in range(11))
    together = balls(radii)
    for i, radius in enumerate(radii):
        alone = balls((radius,)).extracted()[0]
        torch.testing.assert_close(together.extracted()[i].vertices, alone.vertices)
    assert len(together.asked) == 11


def test_groups_are_as_large_as_their_grids_may_be(monkeypatch):
    sizes = []
    given = field_module.field_to_mesh
    monkeypatch.setattr(field_module, "shapes_at_once", lambda cells: 2)
    monkeypatch.setattr(field_module, "field_to_mesh", lambda f, b, *a, **k: sizes.append(b) or given(f, b, *a, **k))
    radii = (0.2, 0.25, 0.3, 0.35, 0.4)
    found = balls(radii, resolution=16).extracted()
    assert sizes == [2, 2, 1]
    assert [float(m.vertices.norm(dim=1).mean()) for m in found] == pytest.approx(radii, abs=0.01)


def test_multiresolution_asks_less_than_the_dense_grid_and_finds_the_same():
    field = balls((0.3,), resolution=64)
    mesh = field.extracted()[0]
    axis = torch.linspace(-0.55, 0.55, 65)
    at = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
    dense = marching_cubes(field.at(at).detach().reshape(65, 65, 65), half=0.55)
    assert len(mesh.vertices) == len(dense.vertices)
    assert field.asked[0] < 0.3 * 65**3


def test_the_level_moves_the_surface_and_refinement_puts_vertices_on_it():
    field = OccupancyField(torch.full((1,), 0.1), 0.55, (torch.tensor([[0.4]]),), Ball(), resolution=16, refine=3)
    assert float((field.extracted()[0].vertices.norm(dim=1) - 0.3).abs().max()) < 1e-4


def test_empty_full_and_broken_fields_are_nan_points_and_spoil_no_other():
    field = balls((-1.0, 0.3, float("nan"), 5.0))
    points, normals = field.surface(20)
    assert points.isnan().all((1, 2)).tolist() == [True, False, True, True]
    assert normals.isfinite().all()
    assert not len(field.to_trimesh(0).vertices)
    assert field.inside(torch.zeros(4, 1, 3))[:, 0].tolist() == [False, True, False, True]
    grid = torch.stack([torch.full((16,) * 3, v) for v in (-1.0, 1.0, float("nan"))])
    voxels = VoxelGrid(torch.zeros(3), 0.5, grid)
    assert voxels.surface(5)[0].isnan().all((1, 2)).tolist() == [True, False, True]  # a full grid is a cube
    assert voxels.to_trimesh(1).volume == pytest.approx(1, rel=0.05)


def test_logits_are_those_of_the_batchs_queries_and_have_gradients():
    queries = torch.rand(2, 7, 3) - 0.5
    field = balls(queries=queries)
    torch.testing.assert_close(field.logits, field.at(queries))
    field.logits.sum().backward()
    assert field.decoder.weight.grad is not None
    assert balls().logits is None
    voxels = grids()
    grid = voxels.grid.clone().requires_grad_()
    VoxelGrid(voxels.level, 0.5, grid, queries=queries).logits.sum().backward()
    assert grid.grad.any()


def test_a_detached_field_gives_gradients_to_places_alone():
    field, places = balls().detach(), (torch.rand(2, 4, 3) - 0.5).requires_grad_()
    field.at(places).sum().backward()
    assert field.decoder.weight.grad is None
    torch.testing.assert_close(places.grad, -places.detach() / places.detach().norm(dim=2, keepdim=True))


def test_without_gradients_places_are_asked_in_parts(monkeypatch):
    from lit3d.structures import field as module

    field, places = balls(), torch.rand(2, 101, 3)
    whole = field.at(places)
    monkeypatch.setattr(module, "AT_ONCE", 20)
    with torch.no_grad():
        torch.testing.assert_close(field.at(places), whole.detach())


def test_extraction_works_on_what_inference_mode_made_and_evaluates_the_decoder():
    class Watched(Ball):
        def forward(self, places, code):
            assert not self.training
            return super().forward(places, code)

    watched, ball = Watched(), Ball()
    with torch.inference_mode():
        field = OccupancyField(torch.zeros(1), 0.55, (torch.tensor([[0.3]]),), watched, resolution=16, refine=1)
        field.surface(5)
        later = OccupancyField(torch.zeros(1), 0.55, (torch.tensor([[0.3]]),), ball, resolution=16, refine=1)
    assert watched.training
    assert later.to_trimesh(0).is_watertight
    assert later.at(torch.zeros(1, 1, 3)).requires_grad
