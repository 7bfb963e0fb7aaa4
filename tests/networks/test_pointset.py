from functools import partial

import pytest
import torch

from lit3d.errors import UserError
from lit3d.networks import FullyConnectedHead, PointSetNet, SmallEncoder


def net(points=100, **encoder):
    return PointSetNet(
        SmallEncoder(channels=(8, 16), code=32, **encoder), partial(FullyConnectedHead, hidden=(16,)), points
    )


@pytest.mark.parametrize("points", [1, 7, 100])
@pytest.mark.parametrize("size", [16, (8, 24)])
def test_cardinality(points, size):
    h, w = (size, size) if isinstance(size, int) else size
    prediction = net(points, image_size=size)({"image": torch.rand(3, 3, h, w)})
    assert prediction.points.shape == (3, points, 3)


def test_it_begins_as_a_ball_inside_the_object():
    torch.manual_seed(0)
    with torch.no_grad():
        points = net(1000, image_size=16).eval()({"image": torch.rand(1, 3, 16, 16)}).points
    radius = points.norm(dim=-1)
    assert 0.1 < float(radius.mean()) < 0.4
    assert float(points.mean(1).norm()) < 0.1


def test_every_parameter_gets_a_gradient():
    network = net(image_size=16)
    network({"image": torch.rand(2, 3, 16, 16)}).points.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_impossible_sizes_are_refused():
    with pytest.raises(UserError, match="multiple of 4, but images are 18 x 18"):
        net(image_size=18)
    with pytest.raises(UserError, match=r"model\.points must be at least 1, got 0"):
        net(0, image_size=16)
