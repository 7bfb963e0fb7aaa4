import math

import pytest
import torch

from lit3d.errors import UserError
from lit3d.networks import OccupancyNet, SmallEncoder
from lit3d.networks.decoders import CbnDecoder, ConditionalNorm, FilmDecoder, ModulatedLinear, encoded


def net(**options):
    torch.manual_seed(0)
    encoder = SmallEncoder(channels=(4, 8), code=12, image_size=16)
    return OccupancyNet(encoder, **({"width": 16, "blocks": 1, "resolution": 16, "local": 6} | options))


def batch(count=2, queries=30):
    torch.manual_seed(1)
    pose = torch.eye(4).repeat(count, 1, 1)
    pose[:, 2, 3] = 2
    lens = torch.tensor([[18.0, 0, 8], [0, 18, 8], [0, 0, 1]]).expand(count, -1, -1)
    return {"image": torch.rand(count, 3, 16, 16), "queries": torch.rand(count, queries, 3) - 0.5, "pose": pose,
            "intrinsics": lens}  # fmt: skip


def shaken(module):
    """Random weights everywhere: conditioning begins as the identity, which would hide mistakes."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def test_modulation_is_scale_and_shift_of_a_product():
    layer = shaken(ModulatedLinear(3, 5, 4))
    x, code = torch.rand(2, 6, 3), torch.rand(2, 4)
    for b in range(2):
        scale = layer.scale.weight @ code[b] + layer.scale.bias
        shift = layer.shift.weight @ code[b] + layer.shift.bias
        for q in range(6):
            torch.testing.assert_close(layer(x, code)[b, q], scale * (layer.weight @ x[b, q]) + shift)


def test_conditional_norm_is_the_naive_one_in_training_and_in_evaluation():
    norm = shaken(ConditionalNorm(3, 4))
    x, code = torch.rand(2, 6, 3) * 2 + 1, torch.rand(2, 4)
    places = x.flatten(0, 1)
    mean, variance = places.mean(0), places.var(0, unbiased=False)
    scale, shift = norm.scale(code)[:, None], norm.shift(code)[:, None]
    torch.testing.assert_close(norm(x, code), scale * (x - mean) / (variance + 1e-5).sqrt() + shift)
    running = 0.1 * mean, 0.9 + 0.1 * places.var(0)
    expected = scale * (x - running[0]) / (running[1] + 1e-5).sqrt() + shift
    torch.testing.assert_close(norm.eval()(x, code), expected)


def test_the_published_decoder_is_five_blocks_as_its_paper_draws_them():
    decoder = shaken(CbnDecoder(4, 0.55, width=8)).eval()
    assert len(decoder.blocks) == 5
    places, code = torch.rand(2, 6, 3) - 0.5, torch.rand(2, 4)
    x = decoder.enter(places / 0.55)
    for block in decoder.blocks:
        inner = block.first(block.norms[0](x, code).relu())
        x = x + block.second(block.norms[1](inner, code).relu())
    torch.testing.assert_close(decoder(places, code), decoder.leave(decoder.norm(x, code).relu())[..., 0])
    fresh = CbnDecoder(4, 0.55, width=8).eval()
    torch.testing.assert_close(fresh(places, code), fresh(places, code * 0))  # gamma 1, beta 0 for every code


def test_places_become_octaves():
    x = torch.tensor([[[0.2, 0.0, -0.5]]])
    found = encoded(x, 0.5, 2)[0, 0].tolist()
    unit = [0.4, 0.0, -1.0]
    expected = unit + [f(u * w) for w in (math.pi / 2, math.pi) for f in (math.sin, math.cos) for u in unit]
    assert found == pytest.approx(expected, abs=1e-6)
    assert encoded(x, 0.5, 0).shape == (1, 1, 3)


@pytest.mark.parametrize("condition", ["film", "cbn"])
def test_every_weight_is_trained_once_conditioning_has_left_the_identity(condition):
    network = net(condition=condition, blocks=2)
    shaken(network.decoder)
    network(batch()).logits.square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("condition", ["film", "cbn"])
def test_values_are_float32_under_autocast_and_places_are_apart(condition):
    network, given = net(condition=condition).eval(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(given).float().logits
    whole = network(given).logits
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, atol=0.05, rtol=0.05)
    alone = network({k: v[1:, 3:4] if k == "queries" else v[1:] for k, v in given.items()}).logits
    torch.testing.assert_close(alone[0, 0], whole[1, 3])


def test_an_image_is_all_a_prediction_takes_and_a_known_camera_is_read():
    field = net().eval()({"image": torch.rand(2, 3, 16, 16)})
    assert field.logits is None
    assert field.at(torch.zeros(2, 4, 3)).shape == (2, 4)
    known = net(camera="known").eval()
    near, far = batch(), batch()
    far["pose"] = far["pose"] + torch.tensor([0, 0, 1.0, 0])[:, None] * torch.tensor([0, 0, 0, 1.0])
    assert known.reads == ("image", "intrinsics", "pose")
    shaken(known.decoder)
    assert not torch.equal(known(near).logits, known(far).logits)


def test_kinds_of_fields_say_what_losses_may_read():
    assert net().gives == ("logits",)
    assert net(field="sdf").gives == ("distance",)
    assert (net().bound, net(frame="object").bound, net(half=0.7).bound) == (0.75, 0.55, 0.7)


@pytest.mark.parametrize(("options", "sentence"), [
    ({"field": "tsdf"}, "model.field must be occupancy or sdf, got 'tsdf'"),
    ({"condition": "flim"}, "Did you mean 'film'"),
    ({"resolution": 65}, "model.resolution must be 2 to 32"),
    ({"resolution": 1024}, "1024 cells a side for 1 shape takes 25.8 GB .* take at most 549 cells"),
    ({"refine": -1}, "model.refine at least 0"),
    ({"width": 0}, "width and blocks of a decoder"),
    ({"local": -1}, "local channels at least 0, got 16, 1, 3 and -1"),
    ({"half": 0.0}, "model.half"),
])  # fmt: skip
def test_what_cannot_be_is_refused(options, sentence):
    with pytest.raises(UserError, match=sentence):
        net(**options)


def test_the_default_conditioning_learns_a_shape_for_each_image():
    torch.manual_seed(0)
    decoder = FilmDecoder(2, 0.55, width=32, blocks=1, frequencies=1)
    code = torch.eye(2)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(150):
        places = torch.rand(2, 256, 3) - 0.5
        truth = torch.stack([places[0, :, 0] > 0, places[1].norm(dim=1) < 0.4]).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(decoder(places, code), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(((decoder(places, code) > 0) == (truth > 0.5)).float().mean()) > 0.95


@pytest.mark.parametrize("condition", ["film", "cbn"])
def test_a_place_sees_the_image_where_it_is_projected_to_and_nowhere_else(condition):
    network = shaken(net(condition=condition, local=6)).eval()
    with torch.no_grad():
        network.pooling.camera.weight.zero_()
        network.pooling.camera.bias.copy_(torch.tensor([[1.5, 0, 0, 0.1], [0, 1.5, 0, -0.2]]).flatten())
    code, places = torch.rand(1, 12), torch.rand(1, 200, 3) - 0.5
    maps = torch.zeros(1, 6, 8, 8)
    camera = network.pooling.camera_of(code)
    before = network.decoder(places, code, maps, camera)
    maps[..., 2, 5] = 3.0
    moved = (network.decoder(places, code, maps, camera) - before).abs()[0] > 1e-6
    x, y = 1.5 * places[0, :, 0] + 0.1, 1.5 * places[0, :, 1] - 0.2
    column, row = ((x + 1) * 4 - 0.5).clamp(0, 7), ((y + 1) * 4 - 0.5).clamp(0, 7)
    near = ((column - 5).abs() < 1) & ((row - 2).abs() < 1)
    assert not moved[~near].any()
    assert moved.any()


def test_as_published_the_code_is_all_that_a_decoder_knows():
    network = net(local=0)
    assert network.pooling is None
    assert [k.shape[1:] for k in network(batch()).known] == [(12,)]
    assert len(net()(batch()).known) == 3


def test_what_is_known_of_an_image_goes_along_with_its_sample():
    network = shaken(net()).eval()
    whole = network(batch(3))
    torch.testing.assert_close(whole.select(1).logits[0], whole.logits[1])
    assert all(not k.requires_grad for k in whole.detach().known)
    places = torch.rand(3, 5, 3, requires_grad=True)
    whole.detach().at(places).sum().backward()
    assert places.grad.any()
    assert network.pooling.camera.weight.grad is None
