import pytest
import torch

from lit3d import ops
from lit3d.networks import PointSetNet, SmallEncoder
from lit3d.networks.heads import FULLY_CONNECTED, UPCONVOLUTION, grid_of
from tests.networks.heads import HEADS


def net(head, points, size=16):
    torch.manual_seed(0)
    return PointSetNet(SmallEncoder(channels=(8, 12, 16), code=24, image_size=size), HEADS[head], points)


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("points", [1, 2, 7, 100, 1000, 1024])
def test_any_number_of_points(head, points):
    network = net(head, points)
    prediction = network({"image": torch.rand(2, 3, 16, 16)}).points
    assert prediction.shape == (2, points, 3)
    assert network.head.layout.branch.shape == (points,)
    assert network.head.layout.uv.shape == (points, 2)


@pytest.mark.parametrize("head", list(HEADS))
def test_images_that_are_not_square(head):
    assert net(head, 50, (8, 24))({"image": torch.rand(2, 3, 8, 24)}).points.shape == (2, 50, 3)


@pytest.mark.parametrize("head", list(HEADS))
def test_every_parameter_gets_a_gradient(head):
    network = net(head, 64)
    network({"image": torch.rand(2, 3, 16, 16)}).points.square().sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


@pytest.mark.parametrize("head", list(HEADS))
def test_it_begins_inside_the_object(head):
    points = net(head, 400).eval()({"image": torch.rand(1, 3, 16, 16)}).points.detach()
    assert float(points.abs().max()) < 1.5
    assert float(points[0].std(0)[:2].min()) > 0.05  # not one clump


@pytest.mark.parametrize("head", list(HEADS))
def test_two_images_are_learnt_by_heart(head):
    network = net(head, 64)
    g = torch.Generator().manual_seed(1)
    image, truth = torch.rand(2, 3, 16, 16, generator=g), torch.rand(2, 64, 3, generator=g) - 0.5
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    values = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = ops.chamfer(network({"image": image}).points, truth).mean()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.2 * values[0]


def test_the_branches_of_the_paper():
    layout = net("two_branch", 1024).head.layout
    assert int((layout.branch == FULLY_CONNECTED).sum()) == 256
    assert int((layout.branch == UPCONVOLUTION).sum()) == 768
    assert layout.uv[:256].isnan().all()
    assert layout.uv[256:].unique(dim=0).shape == (768, 2)


@pytest.mark.parametrize(
    ("points", "grid"), [(768, (24, 32)), (1024, (32, 32)), (1, (1, 1)), (2, (1, 2)), (7, (2, 4)), (101, (10, 11))]
)
def test_the_grid_of_a_number_of_points(points, grid):
    assert grid_of(points) == grid


@pytest.mark.parametrize("points", [5, 99, 1000])
def test_cells_of_the_grid_are_taken_once_and_spread_evenly(points):
    uv = net("upconv", points).head.layout.uv
    assert uv.unique(dim=0).shape[0] == points
    assert float(uv.min()) > 0
    assert float(uv.max()) < 1
    assert (uv.mean(0) - 0.5).abs().max() < 0.15


def test_neighbours_on_the_grid_begin_as_neighbours_in_space():
    head = net("upconv", 64).eval().head
    assert head.grid == (8, 8)
    sheet = head.sheet.reshape(8, 8, 3)
    steps = (sheet[:, 1:] - sheet[:, :-1]).norm(dim=-1)
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 8))


def test_autocast_keeps_coordinates_in_float32():
    network = net("hourglass", 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert network({"image": torch.rand(2, 3, 16, 16)}).points.dtype == torch.float32
