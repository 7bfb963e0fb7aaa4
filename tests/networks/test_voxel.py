import pytest
import torch

from lit3d.errors import UserError
from lit3d.networks import SmallEncoder, VoxelNet
from lit3d.networks.voxel import DeconvolutionHead


def net(**options):
    torch.manual_seed(0)
    encoder = SmallEncoder(channels=(4, 8), code=12, image_size=16)
    return VoxelNet(encoder, **({"resolution": 16, "channels": (8, 6)} | options))


@pytest.mark.parametrize("resolution", [16, 17, 20, 32, 48, 64])
def test_any_resolution(resolution):
    head = DeconvolutionHead(12, resolution, (4, 4, 3, 2))
    assert head(torch.rand(2, 12)).shape == (2, resolution, resolution, resolution)


@pytest.mark.parametrize(("options", "sentence"), [
    ({"resolution": 15}, "from 16 to 64, got 15"), ({"resolution": 65}, "from 16 to 64, got 65"),
    ({"resolution": 32}, "at least 3 numbers"), ({"channels": (0, 2)}, "above 0"),
])  # fmt: skip
def test_sizes_that_cannot_be(options, sentence):
    with pytest.raises(UserError, match=sentence):
        net(**options)


def test_every_weight_is_trained_by_queries():
    network = net()
    given = {"image": torch.rand(2, 3, 16, 16), "queries": torch.rand(2, 4000, 3) - 0.5}
    network(given).logits.sum().backward()
    with torch.no_grad():  # the first step: until then nothing before the last layer matters
        network.head.leave.weight.sub_(network.head.leave.weight.grad)
    network(given).logits.square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_before_training_space_is_empty_for_every_image():
    grid = net(frame="object")({"image": torch.rand(2, 3, 16, 16)}).grid
    torch.testing.assert_close(grid, torch.full_like(grid, -2.0))


def test_logits_are_float32_under_autocast():
    network, given = net().eval(), {"image": torch.rand(2, 3, 16, 16)}
    torch.nn.init.normal_(network.head.leave.weight)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(given)
    assert half.grid.dtype == torch.float32
    torch.testing.assert_close(half.grid, network(given).grid, atol=0.02, rtol=0.05)


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_corners_that_no_object_reaches_are_empty(resolution):
    network = net(resolution=resolution, channels=(4, 4, 3, 2)).eval()
    full = network.head.leave
    torch.nn.init.constant_(full.bias, 50.0)  # every voxel that is free to be
    field = network({"image": torch.rand(1, 3, 16, 16)})
    assert (field.grid[0, 0, 0, 0], field.grid[0, -1, 0, -1]) == (-10, -10)
    direction = torch.nn.functional.normalize(torch.randn(1, 3000, 3), dim=2)
    assert (field.at(direction * 3**0.5 / 2) > 20).all()  # the corner of a unit cube, however it is turned


def test_in_the_objects_axes_no_voxel_is_given_up():
    assert not net(frame="object").corners.any()
