import pytest
import torch

from lit3d.networks.graph import GraphConvolution, GraphDeformation, GraphResidual
from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere, torus


def naive(layer, x, neighbours):
    """The same vertex by vertex: x W0 + b + mean over neighbours of x W1."""
    out = torch.zeros(*x.shape[:2], layer.own.out_features, dtype=x.dtype)
    for b in range(len(x)):
        for v, around in enumerate(neighbours):
            mean = torch.stack([x[b, k] for k in around]).mean(0)
            out[b, v] = layer.own.weight @ x[b, v] + layer.own.bias + layer.around.weight @ mean
    return out


def neighbours_of(topology):
    found = [set() for _ in range(topology.vertices)]
    for a, b, c in topology.faces.tolist():
        for p, q in ((a, b), (b, c), (c, a)):
            found[p].add(q)
            found[q].add(p)
    return [sorted(f) for f in found]


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (3, 5), (4, 4)])  # averaged before or behind the matrix
@pytest.mark.parametrize("template", [icosphere(0), torus(5, 4)], ids=["degree 5", "degree 6"])
def test_a_convolution_is_the_sum_over_neighbours_in_value_and_gradient(inputs, outputs, template):
    torch.manual_seed(0)
    topology = Topology.of(template.faces)
    layer = GraphConvolution(inputs, outputs).double()
    x = torch.randn(2, topology.vertices, inputs, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, topology.vertices, outputs, dtype=torch.float64)
    found, expected = layer(x, topology), naive(layer, x, neighbours_of(topology))
    torch.testing.assert_close(found, expected)
    parts = [x, *layer.parameters()]
    ours = torch.autograd.grad((found * weight).sum(), parts)
    theirs = torch.autograd.grad((expected * weight).sum(), parts)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_what_a_vertex_sees_grows_by_one_ring_a_convolution():
    topology = Topology.of(icosphere(2).faces)
    block = GraphResidual(4).eval()
    x = torch.rand(1, 162, 4, requires_grad=True)
    block(x, topology)[0, 0].sum().backward()
    reached = set(torch.nonzero(x.grad[0].abs().sum(1)).flatten().tolist())
    around = neighbours_of(topology)
    two_rings = {0, *around[0]} | {k for n in around[0] for k in around[n]}
    assert reached <= two_rings
    assert len(reached) > len(around[0]) + 1  # some ReLU may be shut, but not those of a whole ring


def test_renumbered_vertices_give_the_same_features():
    torch.manual_seed(0)
    template, order = icosphere(1), torch.randperm(42)
    back = order.argsort()
    block, code = GraphDeformation(3, 5, 6, 1), torch.rand(2, 5)
    x = torch.rand(2, 42, 3)
    features, offsets = block(x, code, Topology.of(template.faces))
    turned, moved = block(x[:, order], code, Topology.of(back[template.faces]))
    torch.testing.assert_close(turned, features[:, order])
    torch.testing.assert_close(moved, offsets[:, order])


def test_a_block_begins_close_to_the_mesh_that_comes_in_and_reads_the_code():
    torch.manual_seed(0)
    topology, block = Topology.of(icosphere(1).faces), GraphDeformation(3, 5, 16, 2)
    x = torch.rand(2, 42, 3)
    one, other = (block(x, code, topology)[1] for code in (torch.zeros(2, 5), torch.ones(2, 5)))
    assert float(one.detach().abs().max()) < 0.2
    assert float((one - other).detach().abs().max()) > 1e-4


def test_offsets_are_float32_under_autocast():
    topology, block = Topology.of(icosphere(0).faces), GraphDeformation(3, 5, 8, 1)
    with torch.autocast("cpu", torch.bfloat16):
        features, offsets = block(torch.rand(2, 12, 3), torch.rand(2, 5), topology)
    assert (features.dtype, offsets.dtype) == (torch.bfloat16, torch.float32)
