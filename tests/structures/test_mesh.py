import pytest
import torch
import trimesh

from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere, torus
from lit3d.structures import Mesh


def mesh(template=None, samples=2, **options):
    template = template or icosphere(2, 0.4)
    grown = torch.stack([template.vertices * (1 + 0.2 * i) for i in range(samples)])
    return Mesh(grown, Topology.of(template.faces), **options)


def test_maps_every_float_and_leaves_the_shared_topology_whole():
    coarse = mesh(icosphere(1))
    fine = mesh(before=torch.rand(2, 162, 3), coarser=(coarse,))
    one = fine.select(1)
    assert one.vertices.shape == one.before.shape == (1, 162, 3)
    assert one.coarser[0].vertices.shape == (1, 42, 3)
    assert one.faces is fine.faces
    half = fine.to(torch.bfloat16)
    assert half.coarser[0].vertices.dtype == half.before.dtype == torch.bfloat16
    assert half.faces.dtype == torch.int64
    assert half.float().vertices.dtype == torch.float32
    there = fine.to("meta")
    assert {there.faces.device.type, there.edges.device.type, there.coarser[0].faces.device.type} == {"meta"}
    assert not mesh(before=torch.rand(2, 162, 3, requires_grad=True)).detach().before.requires_grad


def test_stages_end_with_the_mesh_itself():
    coarse = mesh(icosphere(1))
    fine = mesh(coarser=(coarse,))
    assert fine.stages == (coarse, fine)
    assert mesh().stages[0].coarser == ()


def test_set_losses_read_vertices_or_what_was_drawn():
    coarse = mesh(icosphere(1))
    fine = mesh(coarser=(coarse,))
    assert fine.points is fine.vertices
    some = fine.with_points("vertices", 100, torch.Generator().manual_seed(0))
    assert some.points.shape == (2, 100, 3)
    same = (some.points[:, :, None] == fine.vertices[:, None]).all(3)
    assert same.any(2).all()
    assert all(len(p.unique(dim=0)) == 100 for p in some.points)  # none twice
    assert some.coarser[0].points is coarse.vertices  # it has only 42
    surface = fine.with_points("surface", 50, torch.Generator().manual_seed(0))
    assert [s.points.shape for s in surface.stages] == [(2, 50, 3)] * 2
    assert surface.vertices is fine.vertices
    again = fine.with_points("surface", 50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(surface.points, again.points)


def test_samples_are_uniform_by_area_lie_on_the_surface_and_pull_vertices():
    """A box twice as long as wide: its long sides get points in proportion, its corners none extra."""
    box = trimesh.creation.box((2, 1, 1))
    vertices = torch.tensor(box.vertices, dtype=torch.float32)[None].requires_grad_()
    prediction = Mesh(vertices, Topology.of(box.faces))
    points, normals = prediction.surface(20_000)
    half = torch.tensor([1.0, 0.5, 0.5])
    side = (points.detach().abs() - half).abs().argmin(2)  # the axis whose side it lies on
    share = torch.bincount(side.flatten(), minlength=3) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.2, 0.4, 0.4]), atol=0.02, rtol=0)
    torch.testing.assert_close((normals * points).sum(2), half[side])  # outwards, on the side
    assert torch.equal(points, prediction.surface(20_000)[0])  # the same without a generator
    points.sum().backward()
    torch.testing.assert_close(vertices.grad.sum(), torch.tensor(60_000.0))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_one_vertex_that_is_not_finite_is_a_failure_of_that_sample(bad):
    from lit3d.metrics import SetMetrics

    prediction = mesh()
    prediction.vertices[1, 7, 0] = bad
    truth = {"points": mesh().surface(500)[0]}
    scores = SetMetrics(points=200, emd=False)(prediction, truth, final=False)
    assert scores["failure"].tolist() == [0, 1]
    assert scores["fscore_5pct"][0] > 0.7
    assert scores["fscore_5pct"][1] == 0


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("template", [icosphere(2), torus(16, 10)], ids=["sphere", "torus"])
def test_exported_meshes_are_wound_outwards(template, flip):
    vertices = template.vertices * (torch.tensor([-1.0, 1, 1]) if flip else 1)  # a mirrored one is inside out
    shape = Mesh(vertices[None], Topology.of(template.faces)).to_trimesh(0)
    assert shape.is_watertight
    assert shape.is_winding_consistent
    assert shape.volume > 0
    assert len(shape.vertices) == len(template.vertices)
    assert shape.euler_number == (2 if len(template.vertices) == 162 else 0)
