"""The system of `model=mesh_deform`: trained, scored, predicted with, in one process."""

import json

import numpy as np
import pytest
import torch
import trimesh

from lit3d.build import load_module
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.training import train

TINY = ["model=mesh_deform", "debug=tiny", "model.network.blocks=2", "model.network.width=8", "metrics.dense=2000"]
SPHERE = ["model/template=sphere", "model.template.level=1"]


@pytest.fixture(scope="module")
def trained_mesh(datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mesh")
    train(compose("run", [*TINY, *SPHERE, f"paths.data={datasets}", f"paths.output={folder}"]))
    return folder / "checkpoints" / "best.ckpt"


def test_results_hold_the_template_many_points_and_quality(trained_mesh):
    results = json.loads((trained_mesh.parents[1] / "results.json").read_text())
    template = results["references"]["test"]["template"]["mean"]
    assert {"fscore_5pct", "fscore_5pct_2k", "flipped", "folded", "euler"} <= set(results["test"]) & set(template)
    assert results["test"]["euler"] == template["euler"] == 2
    assert results["loss"][0] == "cd"
    assert {"laplacian", "move", "uniform_edges", "mesh_normal"} <= set(results["loss"])


def test_a_checkpoint_holds_the_nominal_camera(trained_mesh):
    module = load_module(trained_mesh)
    camera, assumed = module.config["camera"], module.network.assumed
    torch.testing.assert_close(assumed.intrinsics, torch.tensor(camera["intrinsics"]))
    assert float(assumed.pose[2, 3]) == pytest.approx(camera["distance"])


def test_pictures_show_every_block(trained_mesh):
    media = trained_mesh.parents[1] / "media"
    from PIL import Image

    with Image.open(media / "test.png") as sheet:
        assert sheet.width > 6 * 160  # input, truth, block 1, prediction, and both from 90 degrees
    assert {p.suffix for p in (media / "test").iterdir()} == {".ply", ".glb", ".obj"}


def test_predictions_open_upright_and_wound_outwards(trained_mesh, tmp_path):
    from PIL import Image

    from lit3d.prediction import predict

    image = np.zeros((80, 80, 4), np.uint8)
    image[20:60, 10:70] = (200, 80, 60, 255)
    Image.fromarray(image).save(tmp_path / "photo.png")
    cfg = {"checkpoint": str(trained_mesh), "image": str(tmp_path / "photo.png"), "mask": None, "camera": None,
           "answers": 1, "export": None, "out": str(tmp_path / "out"), "picture_size": 64}  # fmt: skip
    files = {p.suffix: p for p in predict(cfg)}
    assert {".ply", ".glb", ".obj", ".png", ".json"} <= set(files)
    ply, glb, obj = (trimesh.load(files[s], force="mesh", process=False) for s in (".ply", ".glb", ".obj"))
    for shape in (ply, glb, obj):
        assert shape.is_watertight
        assert shape.is_winding_consistent
        assert shape.volume > 0
    for upright in (glb, obj):  # viewer axes have y down, files y up
        np.testing.assert_allclose(upright.vertices, ply.vertices * (1, -1, -1), atol=1e-5)
    cfg["camera"] = str(tmp_path / "camera.json")
    (tmp_path / "camera.json").write_text(json.dumps({"distance": 1.2}))
    moved = {p.suffix: p for p in predict(cfg | {"out": str(tmp_path / "near")})}
    assert np.abs(trimesh.load(moved[".ply"], process=False).vertices - ply.vertices).max() > 1e-6


@pytest.mark.parametrize("choice", [
    ["loss=emd", "data.frame=object", "model/template=torus", "model.template.rings=6", "model.template.sides=4"],
    ["loss=cd_emd", "model.loss_points=surface", "data.camera=known", "model/template=file"],
], ids=["emd, object frame, torus", "surface samples, known camera, file"])  # fmt: skip
def test_choices_train_and_load(datasets, tmp_path, choice):
    file = tmp_path / "cube.obj"
    trimesh.creation.box().export(file)
    if choice[-1] == "model/template=file":
        choice = [*choice, f"model.template.file={file}"]
    train(compose("run", [*TINY, f"paths.data={datasets}", f"paths.output={tmp_path}/run", "callbacks.media=null",
                          "test=false", "trainer.max_steps=2", "trainer.val_check_interval=2", *choice]))  # fmt: skip
    file.unlink()  # a checkpoint holds its template
    network = load_module(tmp_path / "run" / "checkpoints" / "best.ckpt").network
    known = "data.camera=known" in choice
    assert ("pose" in network.reads) == known
    assert network.template.vertices.shape == (8 if known else 24, 3)


def test_an_open_template_is_refused_before_anything_is_made(tmp_path):
    box = trimesh.creation.box()
    trimesh.Trimesh(box.vertices, box.faces[1:], process=False).export(tmp_path / "open.obj")
    overrides = ["model=mesh_deform", "debug=tiny", "model/template=file", f"model.template.file={tmp_path}/open.obj",
                 f"paths.output={tmp_path}/run", f"paths.data={tmp_path}"]  # fmt: skip
    with pytest.raises(UserError, match=r"open\.obj must be a closed manifold.*3 edges with only one face"):
        train(compose("run", overrides))
    assert not list(tmp_path.glob("grammar*"))
