"""The systems of `model=occupancy` and `model=voxel`: trained, scored, predicted with, in one process."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
import trimesh

from lit3d.build import load_module, plain
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.metrics.field import THRESHOLDS
from lit3d.modules.field import FieldModule
from lit3d.prediction import predict
from lit3d.training import train

SMALL = {
    "occupancy": ["model.network.width=16", "model.network.blocks=1", "model.resolution=16"],
    "voxel": ["model.resolution=16", "model.network.channels=[8,8]"],
}


def tiny(kind, datasets, folder, *further):
    return compose("run", [f"model={kind}", "debug=tiny", *SMALL[kind], "metrics.dense=500", f"paths.data={datasets}",
                           f"paths.output={folder}", *further])  # fmt: skip


@pytest.fixture(scope="module", params=["occupancy", "voxel"])
def run(request, datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    train(tiny(request.param, datasets, folder))
    return request.param, folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    from PIL import Image

    path = tmp_path_factory.mktemp("photos") / "box.png"
    image = np.zeros((80, 80, 4), np.uint8)
    image[20:60, 10:70] = (200, 80, 60, 255)
    Image.fromarray(image).save(path)
    return path


def request_of(folder, out, **changes):
    cfg = {"checkpoint": str(folder / "checkpoints" / "best.ckpt"), "image": None, "mask": None, "camera": None,
           "answers": 1, "export": None, "out": str(out), "picture_size": 64}  # fmt: skip
    return cfg | changes


def test_results_hold_iou_and_the_rows_of_volumes(run):
    kind, folder = run
    results = json.loads((folder / "results.json").read_text())
    rows = results["references"]["test"]
    assert set(rows) >= {"mean_occupancy"} | ({"ceiling"} if kind == "voxel" else set())
    assert {"iou", "fscore_5pct", "failure"} <= set(results["test"]) & set(rows["mean_occupancy"]["mean"])
    assert 0 <= rows["retrieval"]["mean"]["iou"] <= 1
    assert results["loss"] == ["bce"]
    if kind == "voxel":
        assert rows["ceiling"]["mean"]["iou"] > 2 * rows["mean_occupancy"]["mean"]["iou"]
    else:
        assert results["test"]["extraction_queries"] >= 17**3
    assert (folder / "media" / "test.png").is_file()


def test_the_threshold_was_tuned_and_is_in_the_checkpoint(run):
    _, folder = run
    module = load_module(folder / "checkpoints" / "best.ckpt")
    probability = float(module.network.level.sigmoid())
    assert min(abs(probability - t) for t in THRESHOLDS) < 1e-4
    assert float(module.seen.sum()) > 0
    curves = (folder / "metrics.csv").read_text().splitlines()
    assert "val/iou" in curves[0]
    assert "val/loss" in curves[0]


def test_a_photograph_becomes_a_mesh_or_a_sentence(run, photo, tmp_path):
    kind, folder = run
    path = folder / "checkpoints" / "best.ckpt"
    module = load_module(path)
    saved = torch.load(path, weights_only=True)
    with torch.no_grad():  # a level that surely has a surface: the middle of the field's values on a grid
        places = torch.rand(1, 4000, 3) * 1.6 - 0.8
        values = module({"image": torch.full((1, 3, 64, 64), 0.7)}).at(places)
        saved["state_dict"]["network.level"].copy_(values.median())
    (tmp_path / "checkpoints").mkdir()
    torch.save(saved, tmp_path / "checkpoints" / "best.ckpt")
    files = {p.suffix: p for p in predict(request_of(tmp_path, tmp_path / "out", image=str(photo)))}
    assert {".ply", ".glb", ".obj", ".png", ".json"} <= set(files)
    mesh = trimesh.load(files[".ply"], force="mesh", process=False)
    assert mesh.is_watertight
    assert mesh.volume > 0
    saved["state_dict"]["network.level"].fill_(1e4)
    torch.save(saved, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(UserError, match="predicts nothing"):
        predict(request_of(tmp_path, tmp_path / "empty", image=str(photo)))
    assert kind


def test_voxels_have_a_graph_and_fields_say_why_not(run, tmp_path):
    kind, folder = run
    if kind == "occupancy":
        with pytest.raises(UserError, match="a function that is asked at places; model=voxel has a graph"):
            predict(request_of(folder, tmp_path, export="onnx"))
        return
    file, _ = predict(request_of(folder, tmp_path, export="onnx"))
    image = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["grid"]
    expected = load_module(folder / "checkpoints" / "best.ckpt")({"image": torch.from_numpy(image)}).grid
    np.testing.assert_allclose(session.run(None, {"image": image})[0], expected.detach().numpy(), atol=1e-4)


@pytest.mark.parametrize(("kind", "choice"), [
    ("occupancy", ["model.field=sdf", "loss=sdf", "data.camera=known", "data.near=0.5"]),
    ("occupancy", ["model.condition=cbn", "data.frame=object", "trainer.precision=bf16-mixed"]),
    ("voxel", ["model.resolution=20", "model.network.channels=[4,4,4]", "data.camera=known"]),
], ids=["sdf, known camera", "cbn, object frame, bfloat16", "20 voxels, known camera"])  # fmt: skip
def test_choices_train_and_load(datasets, tmp_path, kind, choice):
    train(tiny(kind, datasets, tmp_path, "callbacks.media=null", "test=false", "trainer.max_steps=2",
               "trainer.val_check_interval=2", *choice))  # fmt: skip
    module = load_module(tmp_path / "checkpoints" / "best.ckpt")
    assert ("pose" in module.network.reads) == ("data.camera=known" in choice)
    if "loss=sdf" in choice:
        assert float(module.network.level) == 0


@pytest.mark.parametrize(("overrides", "sentence"), [
    (["model.field=sdf"], "loss 'bce' reads 'logits', but model 'occupancy' predicts a field.*losses that fit: sdf"),
    (["loss=cd"], "loss 'cd' reads 'points', but model 'occupancy' predicts a field.*losses that fit: bce"),
    (["loss=sdf", "model.field=sdf", "loss.sdf.truncation=-0.1"], "truncation of signed distances must be above 0"),
    (["model.resolution=99"], "model.resolution must be 2 to 32"),
])  # fmt: skip
def test_what_cannot_work_stops_before_training(datasets, tmp_path, overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        train(tiny("occupancy", datasets, tmp_path, *overrides))
    assert not (tmp_path / "checkpoints").exists()


def test_the_mean_of_training_is_gathered_where_it_is_known():
    module = FieldModule.__new__(FieldModule)
    torch.nn.Module.__init__(module)
    module.register_buffer("occupied", torch.zeros(1, 2, 2, 2))
    module.register_buffer("seen", torch.zeros(1, 2, 2, 2))
    module.occupied[0, 0, 0, 0], module.seen[0, 0, 0, 0], module.seen[0, 1, 1, 1] = 3.0, 4.0, 5.0
    assert float(module.mean()[0, 0, 0, 0]) == pytest.approx(0.75)
    assert float(module.mean().sum()) == pytest.approx(0.75)


def test_configs_compose_as_published():
    cfg = plain(compose("run", ["model=occupancy", "model.condition=cbn", "model.network.width=256",
                                "model.network.blocks=5", "paths.output=x"]))  # fmt: skip
    assert cfg["callbacks"]["checkpoint"]["mode"] == "max"
    assert cfg["metrics"]["_target_"] == "lit3d.metrics.FieldMetrics"
    assert plain(compose("run", ["paths.output=x"]))["callbacks"]["checkpoint"]["mode"] == "min"
