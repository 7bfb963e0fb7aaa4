import pytest
import torch

from lit3d.errors import UserError
from lit3d.losses import Term, cd, emd
from lit3d.metrics import SetMetrics
from lit3d.modules import MeshDeformModule
from lit3d.networks import MeshDeformNet, SmallEncoder
from lit3d.networks.templates import sphere, torus
from lit3d.ops.mesh import with_midpoints


def net(template=None, **options):
    torch.manual_seed(0)
    encoder = SmallEncoder(channels=(4, 8), code=12, image_size=16)
    options = {"image_size": 16, "blocks": 2, "width": 8, "residuals": 1, "channels": 4} | options
    return MeshDeformNet(encoder, template or sphere(1), **options)


def batch(count=2, distance=2.0, focal=18.0):
    torch.manual_seed(1)
    lens = torch.tensor([[focal, 0, 8], [0, focal, 8], [0, 0, 1]]).expand(count, -1, -1)
    pose = torch.eye(4).repeat(count, 1, 1)
    pose[:, 2, 3] = distance
    truth = torch.rand(count, 100, 3) - 0.5
    return {"image": torch.rand(count, 3, 16, 16), "intrinsics": lens, "pose": pose, "points": truth}


@pytest.mark.parametrize(("template", "counts"), [(sphere(0), (12, 42, 162)), (torus(6, 4), (24, 96, 384))])
def test_blocks_are_stages_of_growing_detail(template, counts):
    mesh = net(template, blocks=3)(batch())
    assert [s.vertices.shape for s in mesh.stages] == [(2, v, 3) for v in counts]
    assert len({s.topology.euler for s in mesh.stages}) == 1
    assert all(s.topology.closed for s in mesh.stages)


def test_each_block_moves_the_midpoints_of_the_one_before():
    network = net(blocks=3)
    first, second, third = network(batch()).stages
    torch.testing.assert_close(first.before, network.template.vertices.expand(2, -1, -1))
    torch.testing.assert_close(second.before, with_midpoints(first.vertices, first.edges))
    torch.testing.assert_close(third.before, with_midpoints(second.vertices, second.edges))
    assert (third.vertices != third.before).any(2).all()


def test_a_network_that_moves_nothing_predicts_its_template():
    network = net(sphere(1, 0.4), blocks=3)
    with torch.no_grad():
        for block in network.blocks:
            for parameter in block.move.parameters():
                parameter.zero_()
    mesh, template = network(batch()), network.undeformed(2)
    torch.testing.assert_close(mesh.vertices, template.vertices)
    torch.testing.assert_close(mesh.vertices[1, :42].norm(dim=1), torch.full((42,), 0.4))
    assert mesh.faces is template.faces


def test_vertices_look_where_the_camera_sees_them():
    """A change of the image at one place moves the vertices seen there by other amounts than those elsewhere."""
    network = net(sphere(3, 0.45), blocks=1, residuals=0, maps=1).eval()  # two rings, and 7 pixels of the image
    lens = [[32, 0, 8], [0, 32, 8], [0, 0, 1]]
    network.use_camera({"intrinsics": lens, "pose": torch.eye(4).tolist(), "distance": 2.0})
    for parameter in network.blocks[0].from_code.parameters():
        torch.nn.init.zeros_(parameter)  # what every vertex reads of the whole image
    given = batch(1)
    changed = given["image"].clone()
    changed[..., 6:9, 12:15] += 3  # right of the middle
    moved = (network(given | {"image": changed}).vertices - network(given).vertices).norm(dim=2)[0].detach()
    x = network.template.vertices[:, 0]
    assert float(moved[x > 0.2].max()) > 1e-4
    assert not moved[x < -0.35].any()


def test_only_a_known_camera_is_read():
    nominal, known = net(), net(camera="known")
    assert (nominal.reads, known.reads) == (("image",), ("image", "intrinsics", "pose"))
    near, far = batch(distance=1.5), batch(distance=3.0)
    torch.testing.assert_close(nominal.eval()(near).vertices, nominal(far).vertices, atol=0, rtol=0)
    assert float((known.eval()(near).vertices - known(far).vertices).detach().abs().max()) > 1e-5
    with pytest.raises(UserError, match="no intrinsics"):
        known({"image": near["image"]})


def test_the_nominal_camera_moves_what_is_pooled():
    network, given = net().eval(), batch()
    before = network(given).vertices
    network.use_camera({"intrinsics": given["intrinsics"][0].tolist(), "pose": torch.eye(4).tolist(), "distance": 1.2})
    assert float((network(given).vertices - before).detach().abs().max()) > 1e-6


@pytest.mark.parametrize("distance", [0.0, -3.0, 0.3])
def test_vertices_behind_the_camera_leave_all_numbers_finite(distance):
    network = net(camera="known")
    mesh = network(batch(distance=distance))
    mesh.vertices.square().sum().backward()
    assert mesh.vertices.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_every_weight_is_trained():
    network = net(blocks=3)
    network(batch()).vertices.square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_coordinates_are_float32_under_autocast():
    network, given = net().eval(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(given)
    assert {s.vertices.dtype for s in half.stages} == {torch.float32}
    torch.testing.assert_close(half.vertices, network(given).vertices, atol=5e-3, rtol=0)


def kept_for_the_gradient(network, given):
    held = {}

    def pack(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        mesh = network(given)
    mesh.vertices.sum().backward()
    return sum(held.values())


def test_memory_is_linear_in_vertices():
    encoded = kept_for_the_gradient(net(sphere(0), blocks=1), batch())
    small, large = (kept_for_the_gradient(net(sphere(level), blocks=1), batch()) - encoded for level in (3, 4))
    assert small > 0
    assert large / small < 4.2  # 642 vertices, 2562


@pytest.mark.parametrize(
    "options", [{"blocks": 0}, {"width": 0}, {"residuals": -1}, {"maps": 0}, {"samples": 0}, {"loss_points": "faces"}]
)
def test_numbers_that_cannot_be(options):
    with pytest.raises(UserError, match="mesh_deform must be|loss_points must be vertices or surface, got 'faces'"):
        net(**options)


# --- training -------------------------------------------------------------------------------------------------------


def module(function=cd, **options):
    term = Term("set", function, "points", "points")
    found = MeshDeformModule(net(**options), [term], SetMetrics(points=64, emd=False), torch.optim.Adam)
    found.config = {"seed": 3}
    return found


def test_set_losses_are_the_mean_over_blocks():
    system, given = module(), batch()
    mesh = system(given)
    expected = torch.stack([cd(s.vertices, given["points"]) for s in mesh.stages]).mean()
    torch.testing.assert_close(system.objective(mesh, given)[0], expected)


def test_a_loss_over_pairs_takes_as_many_vertices_as_there_are_true_points():
    seen = []

    def watched(pred, target):
        seen.append((pred.shape, pred))
        return emd(pred, target)

    watched.over_pairs = True
    system, given = module(watched), batch()
    mesh = system(given)
    system.objective(mesh, given)[0].backward()
    assert [shape for shape, _ in seen] == [(2, 42, 3), (2, 100, 3)]  # of 42 and 162 vertices, 100 true points
    assert (seen[1][1][:, :, None] == mesh.vertices[:, None]).all(3).any(2).all()
    system.objective(mesh, given)
    torch.testing.assert_close(seen[3][1], seen[1][1])  # the same step draws the same


def test_surface_samples_by_config_differ_from_step_to_step_and_pull_the_vertices(monkeypatch):
    system, given = module(loss_points="surface", samples=50), batch()
    mesh = system(given)
    first = system.objective(mesh, given)[0]
    torch.testing.assert_close(system.objective(mesh, given)[0], first)
    monkeypatch.setattr(MeshDeformModule, "global_step", 7)
    assert system.objective(mesh, given)[0] != first
    first.backward()
    assert system.network.blocks[0].move.own.weight.grad.any()


def test_the_template_is_a_row():
    rows = module().rows(batch())
    assert list(rows) == ["template"]
    assert rows["template"].vertices.shape == (2, 162, 3)
