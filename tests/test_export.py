"""A network as an ONNX file: the same numbers as torch, and nothing half-written."""

import json
from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from lit3d import export
from lit3d.build import plain
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.networks import PointSetNet, SmallEncoder
from lit3d.prediction import predict
from lit3d.structures import PointSet
from tests.networks.heads import HEADS

CONFIG = {"name": "tiny", "data": {"frame": "viewer", "synthesis": {"image_size": 16}}, "camera": {"fill": 0.8}}


def network(head="fc", points=37):
    """Random weights, and batch statistics that are not the ones of a fresh layer."""
    torch.manual_seed(0)
    net = PointSetNet(SmallEncoder(channels=(8, 12), code=24, image_size=16), HEADS[head], points)
    net({"image": torch.rand(8, 3, 16, 16)})
    return net


def outputs(file, images):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": images}), strict=True))


@pytest.mark.parametrize("head", list(HEADS))
def test_every_head_gives_what_torch_gives_for_any_batch(head, tmp_path):
    net = network(head)
    file, record = export.export_onnx(net, CONFIG, tmp_path)
    for b in (1, 5, 7):
        images = np.random.default_rng(b).random((b, 3, 16, 16), np.float32)
        ((name, points),) = outputs(file, images).items()
        assert name == "points"
        expected = net.eval()({"image": torch.from_numpy(images)}).points.detach().numpy()
        np.testing.assert_allclose(points, expected, atol=1e-5)
        assert float(np.ptp(points)) > 0.1
    assert {f.name for f in tmp_path.iterdir()} == {"tiny.onnx", "tiny.json"}
    facts = json.loads(record.read_text())
    assert facts["outputs"] == {"points": {"shape": ["b", 37, 3], "type": "float32"}}
    assert facts["input"]["shape"] == ["b", 3, 16, 16]
    assert 0 <= facts["largest_difference_from_torch"] < 1e-5
    assert facts["axes"].startswith("x right, y down")


@dataclass(frozen=True)
class Sheet(PointSet):
    """A structure with a second tensor, and one that this network leaves out."""

    colours: Tensor
    weights: Tensor | None = None

    tensors = ("points", "colours", "weights")


class SheetNet(nn.Module):
    reads, predicts = ("image",), Sheet

    def forward(self, batch):
        pixels = batch["image"].flatten(2).transpose(1, 2)
        return Sheet(pixels - 0.5, pixels * 2)


def test_names_are_those_of_the_structure(tmp_path):
    file, _ = export.export_onnx(SheetNet(), CONFIG | {"name": "a/b.c"}, tmp_path)
    images = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    assert file.name == "a_b.c.onnx"
    found = outputs(file, images)
    assert list(found) == ["points", "colours"]
    np.testing.assert_allclose(found["colours"], images.reshape(3, 3, -1).transpose(0, 2, 1) * 2)


def test_a_failed_check_leaves_the_old_files(tmp_path, monkeypatch):
    files = export.export_onnx(SheetNet(), CONFIG, tmp_path)
    before = [f.read_bytes() for f in files]
    broken = network()
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"'points' differs from torch's by nan .* nothing was written"):
        export.export_onnx(broken, CONFIG, tmp_path)
    monkeypatch.setattr(export, "compare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export.export_onnx(SheetNet(), CONFIG, tmp_path)
    assert [f.read_bytes() for f in files] == before
    assert set(tmp_path.iterdir()) == set(files)


def test_the_check_sees_a_graph_of_other_weights(tmp_path):
    file, _ = export.export_onnx(SheetNet(), CONFIG, tmp_path)

    def other(image):
        pixels = image.flatten(2).transpose(1, 2)
        return pixels - 0.5 + 2e-4, pixels * 2

    with pytest.raises(UserError, match="'points' differs from torch's by 0.0002 in a batch of 1"):
        export.compare(file, other, torch.rand(5, 3, 16, 16))


def test_what_cannot_be_exported_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"export=onx: there is no such format\. Did you mean 'onnx'\?"):
        predict(plain(compose("predict", [f"checkpoint={tmp_path}/absent.ckpt", "export=onx"])))

    class Camera(SheetNet):
        reads = ("image", "intrinsics")

    with pytest.raises(UserError, match="read an image alone, but this one reads image, intrinsics"):
        export.export_onnx(Camera(), CONFIG, tmp_path)

    class Undecided(SheetNet):
        def forward(self, batch):
            images = batch["image"]
            return super().forward({"image": images if images.mean() > 0.5 else 1 - images})

    with pytest.raises(UserError, match="no ONNX graph for every batch size"):
        export.export_onnx(Undecided(), CONFIG, tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(export, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(UserError, match=r"export=onnx needs no_such_package: pip install 'lit3d\[onnx\]'"):
        export.check_format("onnx")


def test_a_checkpoint_becomes_a_file_without_any_image(trained, tmp_path, capfd):
    overrides = [f"checkpoint={trained}", f"out={tmp_path}", "export=onnx"]
    file, record = predict(plain(compose("predict", overrides)))
    facts = json.loads(record.read_text())
    size = facts["input"]["shape"][-1]
    images = np.random.default_rng(0).random((4, 3, size, size), np.float32)
    assert outputs(file, images)["points"].shape == (4, 256, 3)
    assert facts["camera"]["assumed"] is True
    assert capfd.readouterr().out == ""  # the exporter's own progress is not ours


def test_a_random_vector_is_an_input(tmp_path):
    net = PointSetNet(SmallEncoder(channels=(8, 12), code=24, image_size=16), HEADS["two_branch"], 20, noise=4).eval()
    file, record = export.export_onnx(net, CONFIG, tmp_path)
    draw = np.random.default_rng(0)
    images, noise = draw.random((3, 3, 16, 16), np.float32), draw.normal(size=(3, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (points,) = session.run(None, {"image": images, "noise": noise})
    with torch.no_grad():
        expected = net({"image": torch.from_numpy(images), "noise": torch.from_numpy(noise)}).points
    np.testing.assert_allclose(points, expected.numpy(), atol=1e-5)
    assert json.loads(record.read_text())["noise"]["shape"] == ["b", 4]
