"""`model=depth` from a dataset to files: trained, evaluated, predicted, exported, and refused where it cannot work."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
import trimesh
from PIL import Image

from lit3d.build import load_module, plain
from lit3d.config import compose
from lit3d.data import ShapeDataModule
from lit3d.errors import UserError
from lit3d.evaluation import evaluate
from lit3d.prediction import predict
from lit3d.structures import DepthMap
from lit3d.training import train


@pytest.fixture(scope="module")
def run(datasets, tmp_path_factory):
    """The folder of a tiny run with both heads, a loss of depth and one of its normals."""
    folder = tmp_path_factory.mktemp("depth")
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={folder}", "model=depth", "model.normals=true"]
    train(compose("run", [*overrides, "loss=[l1,depth_normal]"]))
    return folder


@pytest.fixture
def photo(tmp_path):
    image = np.full((120, 160, 3), 235, np.uint8)
    image[30:90, 50:110] = (150, 60, 40)
    Image.fromarray(image).save(tmp_path / "box.png")
    return tmp_path / "box.png"


def test_results_have_depth_normals_mask_sets_and_rows(run):
    results = json.loads((run / "results.json").read_text())
    assert set(results["test"]) >= {"abs_rel", "abs_rel_median", "depth_mae", "depth_normal_angle", "normal_angle",
                                    "mask_iou", "flying_pixels", "visible_chamfer_l1", "fscore_5pct"}  # fmt: skip
    rows = results["references"]["test"]
    assert set(rows) >= {"constant_depth", "median_plane", "facing_camera", "true_visible_surface", "mean_shape"}
    assert rows["true_visible_surface"]["mean"]["abs_rel"] == 0
    assert rows["median_plane"]["mean"]["abs_rel"] <= rows["constant_depth"]["mean"]["abs_rel"]
    assert rows["true_visible_surface"]["mean"]["fscore_5pct"] > rows["median_plane"]["mean"]["fscore_5pct"]
    assert results["test_failures"] == 0
    assert results["loss"] == ["l1", "depth_normal", "mask", "normal"]


def test_pictures_show_maps_and_meshes_are_written(run):
    with Image.open(run / "media" / "test.png") as sheet:
        assert sheet.width == 7 * 166 + 6  # input, depth and normals twice, two from the side
    meshes = list((run / "media" / "test").glob("*.ply"))
    assert len(meshes) == 4
    assert all(isinstance(trimesh.load(mesh), trimesh.Trimesh) for mesh in meshes)


def test_its_checkpoint_begins_where_its_cameras_were(run):
    module = load_module(run / "checkpoints" / "best.ckpt")
    assert float(module.network.nominal) == pytest.approx(module.config["camera"]["distance"])
    assert 1 < float(module.typical[0] / module.typical[1]) < 4
    shape = module({"image": torch.rand(1, 3, 96, 48)})
    assert isinstance(shape, DepthMap)
    assert shape.depth.shape == (1, 1, 96, 48)


def test_evaluation_gives_the_scores_of_the_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = run / "checkpoints" / "best.ckpt"
    cfg = compose("evaluate", [f"checkpoint={checkpoint}", f"paths.output={tmp_path}", "callbacks.media=null"])
    evaluate(cfg)
    before, after = (json.loads((f / "results.json").read_text())["test"] for f in (run, tmp_path))
    assert after.keys() == before.keys()
    assert after["abs_rel"] == pytest.approx(before["abs_rel"], rel=1e-5)
    assert after["chamfer_l1"] == pytest.approx(before["chamfer_l1"], rel=1e-4)


def test_a_photo_becomes_depth_normals_and_a_mesh(run, tmp_path, photo):
    out = tmp_path / "out"
    checkpoint = run / "checkpoints" / "best.ckpt"
    files = predict(plain(compose("predict", [f"checkpoint={checkpoint}", f"image={photo}", f"out={out}"])))
    assert [f.name for f in files] == [
        "box.ply", "box.glb", "box.depth.npy", "box.depth.png", "box.depth_coloured.png", "box.normal.npy",
        "box.normal.png", "box.png", "box.json",
    ]  # fmt: skip
    facts = json.loads((out / "box.json").read_text())
    depth, levels = np.load(out / "box.depth.npy"), np.asarray(Image.open(out / "box.depth.png"))
    assert levels.dtype == np.uint16
    unit = facts["maps"]["depth"]["png_unit"]
    np.testing.assert_allclose(levels * unit, np.nan_to_num(depth), atol=unit / 2 + 1e-6)
    assert np.array_equal(levels == facts["maps"]["depth"]["png_none"], np.isnan(depth))
    normal = np.load(out / "box.normal.npy")
    np.testing.assert_allclose(np.linalg.norm(normal[np.isfinite(depth)], axis=1), 1, atol=1e-5)
    mesh = trimesh.load(out / "box.ply")
    centre = -np.array([0, 0, facts["camera"]["distance"]])
    assert ((mesh.triangles_center - centre) * mesh.face_normals).sum(1).max() < 0  # all face the camera
    with Image.open(out / "box.png") as sheet:
        assert sheet.width == 4 * 246 + 6


def test_the_known_mask_is_taken_where_none_is_predicted(datasets, tmp_path, photo):
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path / 'run'}", "callbacks.media=null"]
    train(compose("run", [*overrides, "model=depth", "model.mask=false", "test=false", "trainer.max_steps=2"]))
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    predict(plain(compose("predict", [f"checkpoint={checkpoint}", f"image={photo}", f"out={tmp_path / 'out'}"])))
    shown = np.isfinite(np.load(tmp_path / "out" / "box.depth.npy"))
    rows, columns = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
    assert shown.sum() == pytest.approx(len(rows) * len(columns), rel=0.02)  # the box of the photograph
    assert len(rows) == pytest.approx(len(columns), abs=1)


def test_the_network_becomes_a_graph_of_its_maps(run, tmp_path):
    checkpoint = run / "checkpoints" / "best.ckpt"
    file, record = predict(plain(compose("predict", [f"checkpoint={checkpoint}", f"out={tmp_path}", "export=onnx"])))
    image = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": image}), strict=True))
    assert set(found) == set(json.loads(record.read_text())["outputs"]) == {"depth", "normal", "mask_logits"}
    expected = load_module(checkpoint)({"image": torch.from_numpy(image)})
    for name, values in found.items():
        np.testing.assert_allclose(values, getattr(expected, name).detach().numpy(), atol=1e-4)


@pytest.mark.parametrize(("overrides", "sentence"), [
    (["loss=cd"], "loss 'cd' reads 'points', but model 'depth' predicts depth; losses that fit: berhu,"),
    (["loss=[l1,normal]"],
     "loss 'normal' reads 'normal', but model 'depth' predicts depth as it is configured; model.normals=true adds it"),
    (["loss=[l1,mask]", "model.mask=false"], "predicts depth as it is configured; model.mask=true adds it"),
    (["model.parametrisation=inverted"], "Did you mean 'inverse'"),
    (["data=shape_family"], "data.synthesis"),
])  # fmt: skip
def test_what_cannot_work_stops_before_training(datasets, tmp_path, overrides, sentence):
    base = ["debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path}", "model=depth"]
    with pytest.raises(UserError, match=sentence):
        train(compose("run", [*base, *overrides]))
    assert not (tmp_path / "checkpoints").exists()


def test_a_dataset_without_depth_is_refused_before_training(run, datasets, tmp_path):
    source = next(datasets.glob("grammar-tiny-*"))
    made = ShapeDataModule("grammar", source, test_points=512, test_views=1)
    made.need(["depth"])
    made.setup()
    assert made.dataset("train")
    bare = tmp_path / "bare"
    shutil.copytree(source, bare)
    reader = ShapeDataModule("bare", bare, test_points=512)
    reader.need(["depth", "mask"])
    reader.setup()

    def missing(name, view):
        raise UserError("000.npz is missing.")

    reader.opened.geometry = missing
    with pytest.raises(UserError, match=r"depth, mask of each view are asked for, but .*bare does not have them"):
        reader.dataset("train")
    reader.need(["points"])
    assert len(reader.dataset("train"))
