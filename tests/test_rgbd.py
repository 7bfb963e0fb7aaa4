"""`model=depth data=rgbd` from a folder of pairs to files: trained, evaluated, predicted, and refused where it must."""

import json

import numpy as np
import pytest

from lit3d.build import load_module, plain
from lit3d.config import compose
from lit3d.data import RgbdDataModule
from lit3d.errors import UserError
from lit3d.evaluation import evaluate
from lit3d.prediction import predict
from lit3d.synthesis.sensor import PRESETS, measure
from lit3d.training import train

from .data.rgbd_pairs import write_set

TINY = ["debug=tiny_rgbd", "model=depth", "data=rgbd"]


def kinect(depth, normal, matrix, number):
    return measure(depth, normal, matrix, PRESETS["kinect"], np.random.default_rng(number)) * (number != 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("pairs"), change=kinect)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("rgbd")
    heads = ["model.normals=true", "model.mask=false"]
    train(compose("run", [*TINY, *heads, f"data.folder={folder}", f"paths.output={out}"]))
    return out


def test_results_have_the_scores_of_depth_in_metres_and_none_of_points(run, folder):
    results = json.loads((run / "results.json").read_text())
    assert {"abs_rel", "depth_mae", "depth_normal_angle", "normal_angle"} <= set(results["test"])
    assert "chamfer_l1" not in results["test"]
    assert results["data"]["unit"] == "metre"
    assert results["counts"]["m"] is None
    assert set(results["references"]["test"]) == {
        "constant_depth", "median_plane", "facing_camera", "true_visible_surface",
    }  # fmt: skip
    assert results["references"]["test"]["true_visible_surface"]["mean"]["abs_rel"] == 0
    assert results["data"]["left_out"] == [str(folder / "room_0" / "depth" / "0000.png")]
    assert (run / "media" / "test.png").is_file()


def test_the_camera_and_size_are_in_the_checkpoint(run):
    module = load_module(run / "checkpoints" / "best.ckpt")
    camera = module.config["camera"]
    assert 1.5 < camera["distance"] < 2.5
    assert camera["pose"][2][3] == pytest.approx(camera["distance"])
    assert module.config["data"]["image_size"] == [48, 64]


def test_evaluation_gives_the_scores_of_the_run(run, tmp_path):
    evaluate(compose("evaluate", [f"checkpoint={run}/checkpoints/best.ckpt", f"paths.output={tmp_path}"]))
    again, before = (json.loads((p / "results.json").read_text())["test"] for p in (tmp_path, run))
    assert again == pytest.approx(before, rel=1e-4, abs=1e-5)


def test_evaluation_takes_other_pairs(run, tmp_path):
    other = write_set(tmp_path / "test" / "other", sequences=2)
    out = tmp_path / "out"
    checkpoint = f"checkpoint={run}/checkpoints/best.ckpt"
    given = [f"data.folder={other.parent.parent}", "data.limit=null", f"paths.output={out}"]
    evaluate(compose("evaluate", [checkpoint, *given]))
    assert json.loads((out / "results.json").read_text())["counts"]["images"] == 4
    assert np.isfinite(RgbdDataModule("other", other.parent.parent).nominal_camera()["distance"])


def test_a_picture_becomes_depth_at_its_shape(run, folder, tmp_path):
    out, image = tmp_path / "out", folder / "room_1" / "rgb" / "0000.png"
    checkpoint = f"checkpoint={run}/checkpoints/best.ckpt"
    predict(plain(compose("predict", [checkpoint, f"image={image}", f"out={out}"])))
    assert np.load(out / "0000.depth.npy").shape[-2:] == (48, 64)
    record = json.loads((out / "0000.json").read_text())
    assert record["mask"] == "whole picture"
    assert record["crop_left_top_width_height"] == [0, 0, 80, 60]
    with pytest.raises(UserError, match="trained on whole pictures"):
        predict(plain(compose("predict", [checkpoint, f"image={image}", f"mask={image}", f"out={out}"])))


def test_what_does_not_go_together_is_a_sentence(run, folder, tmp_path):
    there = [f"data.folder={folder}", f"paths.output={tmp_path}"]
    with pytest.raises(UserError, match="'points' is needed, but data=rgbd sees one side only"):
        train(compose("run", ["data=rgbd", "data.image_size=64", "model=pointset", "logger=csv", *there]))
    with pytest.raises(UserError, match=r"data.folder has no value yet"):
        train(compose("run", [*TINY, f"paths.output={tmp_path}"]))
    with pytest.raises(UserError, match="images of 48 x 64 pixels, but this data has 60 x 80"):
        evaluate(compose("evaluate", [f"checkpoint={run}/checkpoints/best.ckpt", "data=rgbd", "data.image_size=[60,80]",
                                      *there]))  # fmt: skip
    with pytest.raises(UserError, match="no true shapes"):
        evaluate(compose("evaluate", ["predictions=" + str(_shapes(tmp_path)), "data=rgbd", *there]))


def test_nothing_to_test_on_is_said_before_training(run, folder, tmp_path):
    for split in ("train", "val"):
        write_set(tmp_path / "pairs" / split, sequences=1)
    there = [f"data.folder={tmp_path / 'pairs'}", f"paths.output={tmp_path / 'out'}"]
    with pytest.raises(UserError, match="data=rgbd has nothing in the split test, .* or set test=false"):
        train(compose("run", [*TINY, *there]))
    assert not (tmp_path / "out" / "metrics.csv").exists()
    with pytest.raises(UserError, match="split=.*: data=rgbd has no such objects"):
        evaluate(compose("evaluate", [f"checkpoint={run}/checkpoints/best.ckpt", *there]))


def _shapes(folder):
    (folder / "shapes").mkdir()
    (folder / "shapes" / "a_0.ply").write_text("ply\n")
    return folder / "shapes"
