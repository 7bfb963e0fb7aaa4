import math

import pytest
import torch

from lit3d.errors import UserError
from lit3d.networks import DepthNet, EfficientNetLite0Encoder, PaperEncoder, ResNetEncoder, SmallEncoder
from lit3d.networks.depth import PARAMETRISATIONS, depth_of

ENCODERS = {
    "small": lambda: SmallEncoder(code=0), "paper": lambda: PaperEncoder(code=0), "resnet": ResNetEncoder,
    "resnet_large": lambda: ResNetEncoder(stem="large"),
    "efficientnet": lambda: EfficientNetLite0Encoder(pretrained=False),
}  # fmt: skip


def net(**options):
    torch.manual_seed(0)
    return DepthNet(SmallEncoder(channels=(8, 12, 16), code=0), **options)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_any_encoder_and_any_size(name):
    network = DepthNet(ENCODERS[name](), normals=True).eval()
    for h, w in ((64, 64), (70, 50), (33, 96)):
        with torch.no_grad():
            shape = network({"image": torch.rand(2, 3, h, w)})
        assert shape.depth.shape == shape.mask.shape == shape.mask_logits.shape == (2, 1, h, w)
        assert shape.normal.shape == (2, 3, h, w)


@pytest.mark.parametrize("size", [(224, 224), (480, 640)])
def test_larger_pictures_than_in_training(size):
    network = net().train()
    network({"image": torch.rand(2, 3, 64, 64)})
    with torch.no_grad():
        assert network.eval()({"image": torch.rand(1, 3, *size)}).depth.shape == (1, 1, *size)


def test_a_size_that_does_not_divide_is_the_corner_of_a_larger_picture():
    network, image = net().eval(), torch.rand(1, 3, 50, 70)
    border = torch.cat([image, image[..., -1:].expand(-1, -1, -1, 26)], dim=-1)
    border = torch.cat([border, border[..., -1:, :].expand(-1, -1, 14, -1)], dim=-2)
    with torch.no_grad():
        small, large = (network({"image": i}).depth for i in (image, border))
    torch.testing.assert_close(small, large[..., :50, :70])


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_it_begins_as_a_sheet_at_the_nominal_distance_that_faces_the_camera(parametrisation):
    network = net(parametrisation=parametrisation, nominal=3.0, normals=True)
    shape = network({"image": torch.rand(4, 3, 64, 64)})
    assert float((shape.depth.detach() / 3 - 1).abs().max()) < 0.2
    assert float(shape.normal[:, 2].detach().max()) < -0.9
    torch.testing.assert_close(shape.normal.norm(dim=1), torch.ones(4, 64, 64))


def test_parametrisations():
    raw, nominal = torch.tensor([-0.5, 0.0, 0.25, 1.0]), torch.tensor(2.0)
    for name, expected in {"linear": [1, 2, 2.5, 4], "log": [2 * math.exp(x) for x in raw.tolist()],
                           "inverse": [4, 2, 1.6, 1]}.items():  # fmt: skip
        torch.testing.assert_close(depth_of(raw, name, nominal), torch.tensor(expected, dtype=torch.float32))
        wild = depth_of(torch.tensor([-1e9, 1e9]), name, nominal)
        assert wild.isfinite().all()
        assert (wild > 0.01).all()
    with pytest.raises(UserError, match="one of linear, log, inverse, got 'lgo'. Did you mean 'log'"):
        net(parametrisation="lgo")
    with pytest.raises(UserError, match="nominal depth of a network must be above 0, got 0.0"):
        net(nominal=0.0)


def test_every_parameter_gets_a_gradient():
    network = net(normals=True)
    shape = network({"image": torch.rand(2, 3, 32, 32)})
    (shape.depth.sum() + shape.normal[:, 0].sum() + shape.mask_logits.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(float(p.grad.abs().max()) > 0 for p in network.heads.parameters())


def test_heads_are_computed_in_full_precision():
    with torch.autocast("cpu", torch.bfloat16):
        shape = net(normals=True)({"image": torch.rand(2, 3, 32, 32)})
    assert {shape.depth.dtype, shape.normal.dtype, shape.mask_logits.dtype} == {torch.float32}
    assert len(torch.unique(shape.depth)) > 1000  # of 2,048 pixels: in bfloat16 there were a dozen values


def test_heads_by_choice():
    image = torch.rand(2, 3, 32, 32)
    alone, full = net(mask=False), net(normals=True)
    assert alone.gives == ("depth", "visible_points")
    assert full.gives == ("depth", "normal", "mask_logits", "visible_points")
    assert "mask" in alone.carries
    assert "mask" not in full.carries
    known = torch.rand(2, 1, 32, 32) > 0.5
    assert torch.equal(alone({"image": image, "mask": known}).mask, known)
    assert alone({"image": image}).mask.all()
    shape = full({"image": image, "mask": known})
    assert torch.equal(shape.mask, torch.sigmoid(shape.mask_logits) > 0.5)


def test_weights_read_the_image_alone():
    network, image = net().eval(), torch.rand(1, 3, 32, 32)
    camera = {"intrinsics": torch.eye(3)[None] * 40, "pose": torch.eye(4)[None]}
    with torch.no_grad():
        torch.testing.assert_close(network({"image": image} | camera).depth, network({"image": image}).depth)
