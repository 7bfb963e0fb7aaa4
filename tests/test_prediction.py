"""From a trained checkpoint and pictures to files that open elsewhere."""

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from lit3d.build import plain
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.prediction import predict
from lit3d.shape_files import TO_GLTF


@pytest.fixture
def photo(tmp_path):
    image = np.full((120, 160, 3), 235, np.uint8)
    image[30:90, 50:110] = (150, 60, 40)
    Image.fromarray(image).save(tmp_path / "box.png")
    return tmp_path / "box.png"


def run(trained, tmp_path, **keys):
    overrides = [f"{k}={v}" for k, v in ({"checkpoint": trained, "out": tmp_path / "out"} | keys).items()]
    return predict(plain(compose("predict", overrides)))


def test_a_photo_becomes_ply_glb_picture_and_record(trained, tmp_path, photo):
    files = run(trained, tmp_path, image=photo)
    assert [f.name for f in files] == ["box.ply", "box.glb", "box.png", "box.json"]
    cloud = trimesh.load(files[0])
    assert cloud.vertices.shape == (256, 3)
    scene = trimesh.load(files[1])
    turned = np.asarray(next(iter(scene.geometry.values())).vertices)
    np.testing.assert_allclose(turned, np.asarray(cloud.vertices) @ TO_GLTF[:3, :3].T, atol=1e-5)
    with Image.open(files[2]) as picture:
        assert picture.width > 3 * 200
    facts = json.loads(files[3].read_text())
    assert facts["mask"] == "background removal"
    assert facts["camera"]["assumed"] is True


def test_a_folder_with_a_bad_picture_predicts_the_others_and_says_so(trained, tmp_path, photo, capsys):
    (photo.parent / "broken.png").write_bytes(b"no picture")
    files = run(trained, tmp_path, image=photo.parent)
    assert {f.stem for f in files} == {"box", "predictions"}
    assert "left out" in capsys.readouterr().out


def test_a_camera_file_takes_the_nominal_ones_place(trained, tmp_path, photo):
    given = tmp_path / "camera.json"
    given.write_text(json.dumps({"distance": 9.5}))
    files = run(trained, tmp_path, image=photo, camera=given)
    camera = json.loads(files[3].read_text())["camera"]
    assert (camera["distance"], camera["assumed"]) == (9.5, False)
    given.write_text(json.dumps({"focal": 1}))
    with pytest.raises(UserError, match="expected the keys intrinsics, distance, fill; got focal"):
        run(trained, tmp_path, image=photo, camera=given)


def test_missing_things_are_named(trained, tmp_path, photo):
    with pytest.raises(UserError, match="give checkpoint=FILE and image=FILE"):
        predict(plain(compose("predict", [f"image={photo}"])))
    with pytest.raises(UserError, match="there is no image or folder"):
        run(trained, tmp_path, image=tmp_path / "absent.png")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"box\.png lies, which its prediction would overwrite"):
        run(trained, tmp_path, image=photo, out=photo.parent)


@pytest.mark.parametrize("camera", [
    {"distance": 0}, {"distance": float("nan")}, {"fill": 0}, {"fill": 1.5}, {"fill": "wide"}, {"intrinsics": [1, 2]},
    {"intrinsics": [[1, 0, 0], [0, 1, 0], [0, 0, float("inf")]]}, {"distance": None},
])  # fmt: skip
def test_a_camera_that_cannot_be_is_refused(trained, tmp_path, photo, camera):
    given = tmp_path / "camera.json"
    given.write_text(json.dumps(camera))
    with pytest.raises(UserError, match="expected intrinsics as 3 x 3 numbers, distance above 0"):
        run(trained, tmp_path, image=photo, camera=given)


def test_a_network_that_predicts_nan_writes_nothing(tmp_path, photo, trained):
    saved = torch.load(trained, weights_only=True)
    next(iter(saved["state_dict"].values())).fill_(float("nan"))
    torch.save(saved, tmp_path / "nan.ckpt")
    with pytest.raises(UserError, match="box: the network predicts nothing, or numbers that are not finite"):
        run(tmp_path / "nan.ckpt", tmp_path, image=photo)
    assert not list((tmp_path / "out").iterdir())


def test_a_mask_beside_a_picture_is_used(trained, tmp_path, photo):
    mask = np.zeros((120, 160), np.uint8)
    mask[30:90, 50:80] = 255
    Image.fromarray(mask).save(photo.with_name("box.mask.png"))
    facts = json.loads(run(trained, tmp_path, image=photo.parent)[3].read_text())
    assert facts["mask"] == "mask file"
    assert facts["crop_left_top_side"][0] < 50


def test_several_pictures_are_shown_whole_in_one_sheet(trained, tmp_path, photo):
    wide = np.full((60, 300, 3), 235, np.uint8)
    wide[20:40, 100:200] = (20, 60, 140)
    Image.fromarray(wide).save(photo.with_name("a_wide_one.png"))
    files = run(trained, tmp_path, image=photo.parent, picture_size=100)
    assert files[-1] == tmp_path / "out" / "predictions.png"
    with Image.open(files[-1]) as sheet:
        assert sheet.size == (4 * 106 + 6, 2 * 106 + 6 + 26)  # two rows under the heads
        first = np.asarray(sheet)[32:132, 6:106]
    blue = (np.abs(first.astype(int) - (20, 60, 140)).max(-1) < 40).nonzero()
    assert np.ptp(blue[1]) == pytest.approx(33, abs=3)  # 100 of 300 pixels: the whole photograph, not its crop
    assert np.ptp(blue[0]) == pytest.approx(6, abs=2)


def test_a_picture_may_not_have_the_sheets_name(trained, tmp_path, photo):
    photo.rename(photo.with_name("predictions.jpg"))
    Image.new("RGB", (9, 9)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match="give .*predictions.jpg another name"):
        run(trained, tmp_path, image=tmp_path)


# --- several answers --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(datasets, tmp_path_factory):
    """The checkpoint of a network with a random vector."""
    from lit3d.training import train

    folder = tmp_path_factory.mktemp("many")
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={folder}", "callbacks.media=null", "test=false"]
    train(compose("run", [*overrides, "trainer.max_steps=2", "model.hypotheses=2"]))
    return folder / "checkpoints" / "last.ckpt"


def test_several_answers_are_numbered_files_in_one_picture(many, tmp_path, photo):
    files = run(many, tmp_path, image=photo, answers=3, picture_size=60)
    shapes = [f"box_{i}.{kind}" for i in (1, 2, 3) for kind in ("ply", "glb")]
    assert [f.name for f in files] == [*shapes, "box.png", "box.json"]
    clouds = [np.asarray(trimesh.load(tmp_path / "out" / f"box_{i}.ply").vertices) for i in (1, 2, 3)]
    assert all(np.abs(clouds[i] - clouds[j]).max() > 1e-3 for i, j in ((0, 1), (0, 2), (1, 2)))
    with Image.open(tmp_path / "out" / "box.png") as picture:
        assert picture.size == (4 * 66 + 6, 2 * 66 + 6 + 26)
    assert json.loads(files[-1].read_text())["answers"] == ["box_1", "box_2", "box_3"]
    alone = run(many, tmp_path, image=photo, out=tmp_path / "one")
    np.testing.assert_allclose(np.asarray(trimesh.load(alone[0]).vertices), clouds[0], atol=1e-5)


def test_several_answers_to_several_pictures_have_two_rows_each_in_the_sheet(many, tmp_path, photo):
    Image.open(photo).save(photo.with_name("other.png"))
    files = run(many, tmp_path, image=photo.parent, answers=2, picture_size=60)
    with Image.open(files[-1]) as sheet:
        assert sheet.size == (4 * 66 + 6, 4 * 66 + 6 + 26)


def test_several_answers_of_a_network_without_a_random_vector_are_refused(trained, tmp_path, photo):
    with pytest.raises(UserError, match=r"answers=2: this network has one answer .* model\.hypotheses=4"):
        run(trained, tmp_path, image=photo, answers=2)
    with pytest.raises(UserError, match="answers is the number of answers to each image, at least 1, got 0"):
        run(trained, tmp_path, image=photo, answers=0)
    assert not (tmp_path / "out").exists()
