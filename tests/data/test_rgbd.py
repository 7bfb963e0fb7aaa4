"""Pairs that the renderer and the sensor model wrote come back as they are, and what cannot be used is a sentence."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from lit3d.data import RgbdDataModule
from lit3d.data.rgbd_pairs import find_pairs
from lit3d.errors import UserError
from lit3d.synthesis.sensor import PRESETS, measure

from .rgbd_pairs import SIZE, view, write_depth, write_image, write_intrinsics, write_set


def module(folder, **options):
    return RgbdDataModule("rgbd", folder, **({"image_size": SIZE, "crop": 1.0} | options))


def samples(data):
    """All, by (object, view)."""
    found = [sample for split in ("train", "val", "test") for sample in _all(data.dataset(split))]
    return [s for _, s in sorted(((s["object"], s["view"]), s) for s in found)]


def _all(dataset):
    return [dataset[i] for i in range(len(dataset))]


def kinect(depth, normal, matrix, number):
    return measure(depth, normal, matrix, PRESETS["kinect"], np.random.default_rng(number))


@pytest.mark.parametrize("layout", ["folders", "suffixes"])
@pytest.mark.parametrize(("suffix", "error"), [(".png", 0.00051), (".npy", 0.0), (".npz", 0.0)])
def test_pairs_come_back_as_they_were_written(tmp_path, layout, suffix, error):
    data = module(write_set(tmp_path, layout, suffix, change=kinect))
    found = samples(data)
    assert [s["view"] for s in found] == [0, 1] * 4
    assert {s["object"] for s in found} == {f"room_{i}" for i in range(4)}
    for number, sample in enumerate(found):
        colour, depth, normal, matrix = view(number)
        noisy = kinect(depth, normal, matrix, number)
        assert (noisy > 0).any()
        np.testing.assert_array_equal(sample["image"].numpy(), colour.transpose(2, 0, 1).astype(np.float32) / 255)
        np.testing.assert_array_equal(sample["mask"][0].numpy(), noisy > 0)
        np.testing.assert_allclose(sample["depth"][0].numpy(), noisy, atol=error + 1e-6)
        np.testing.assert_allclose(sample["intrinsics"].numpy(), matrix, atol=1e-4)  # 0.5 of pixel centres included


def test_every_key_of_a_sample_and_no_points(tmp_path):
    data = module(write_set(tmp_path))
    data.need(["image", "depth", "mask", "normal", "intrinsics"])
    sample = data.preview("test")[0]
    assert set(sample) == {"image", "mask", "depth", "normal", "intrinsics", "pose", "object_to_target", "object",
                           "category", "view"}  # fmt: skip
    assert sample["mask"].dtype == torch.bool
    length = sample["normal"].norm(dim=0)
    assert ((length - 1).abs().lt(1e-4) | length.eq(0)).all()
    assert length[~sample["mask"][0]].eq(0).all()
    with pytest.raises(UserError, match="'points' is needed, but data=rgbd sees one side only"):
        data.need(["points"])


def test_holes_nan_infinity_and_what_is_out_of_range_do_not_count(tmp_path):
    def broken(depth, normal, matrix, number):
        out = np.where(depth > 0, depth, np.nan).astype(np.float32)
        out[0, :4] = np.inf, -1.0, 0.05, 20.0
        return out

    data = module(write_set(tmp_path, suffix=".npy", change=broken))
    for number, sample in enumerate(samples(data)):
        expected = view(number)[1].copy()
        expected[0, :4] = 0
        assert sample["depth"].isfinite().all()
        np.testing.assert_array_equal(sample["depth"][0].numpy(), expected)


# --- other sizes ------------------------------------------------------------------------------------------------------


def points(sample):
    """Camera points (n, 3) of the valid pixels, and their colours."""
    mask = sample["mask"][0]
    v, u = mask.nonzero(as_tuple=True)
    z = sample["depth"][0][mask]
    k = sample["intrinsics"]
    xyz = torch.stack([(u + 0.5 - k[0, 2]) / k[0, 0] * z, (v + 0.5 - k[1, 2]) / k[1, 1] * z, z], dim=1)
    return xyz, sample["image"][:, mask].T


@pytest.mark.parametrize("size", [(30, 40), (32, 32), (50, 40), (90, 120)])
def test_a_resized_crop_shows_the_same_surface(tmp_path, size):
    data, whole = module(write_set(tmp_path), image_size=size), module(tmp_path)
    for small, large in zip(samples(data), samples(whole), strict=True):
        assert small["image"].shape == (3, *size)
        if not small["mask"].any():
            continue
        mine, theirs = points(small)[0], points(large)[0]
        # Depth is one of the original ones; its pixel was at most half a new pixel away in x and in y.
        away = torch.cdist(mine, theirs).min(1).values
        pixel = 2.5 * max(1 / float(small["intrinsics"][0, 0]), 1 / float(large["intrinsics"][0, 0]))
        assert float(away.max()) < pixel
        assert torch.isin(mine[:, 2], theirs[:, 2]).all()


def test_colour_is_averaged_and_depth_is_not(tmp_path):
    colour = np.zeros((*SIZE, 3), np.uint8)
    colour[:, ::2] = 200
    depth = np.ones(SIZE, np.float32)
    depth[:, ::2] = 3.0
    depth[::2] = 0.0
    for i in range(3):
        write_image(tmp_path / str(i) / "rgb" / "a.png", colour)
        write_depth(tmp_path / str(i) / "depth" / "a.npy", depth)
    write_intrinsics(tmp_path / "intrinsics.json", view(0)[3])
    sample = module(tmp_path, image_size=(30, 40)).preview("test")[0]
    assert set((sample["image"] * 255).round().unique().tolist()) == {100.0}
    assert set(sample["depth"].unique().tolist()) <= {1.0, 3.0}  # never 2, and no hole: one of four is there


def test_training_crops_and_flips_keep_the_surface(tmp_path):
    data, whole = module(write_set(tmp_path), crop=0.6, mirror=0.5), module(tmp_path)
    train, exact = data.dataset("train"), whole.dataset("train")
    flipped = 0
    for epoch in range(6):
        sample, truth = train[(epoch, 0)], exact[0]
        assert torch.equal(sample["image"], train[(epoch, 0)]["image"])
        assert not torch.equal(sample["image"], train[(epoch + 1, 0)]["image"])
        mine, theirs = points(sample)[0], points(truth)[0]
        straight, turned = (torch.cdist(mine * torch.tensor([s, 1, 1.0]), theirs).min(1).values.max() for s in (1, -1))
        assert float(min(straight, turned)) < 2.5 / 70
        flipped += bool(turned < straight)
    assert 0 < flipped < 6
    assert torch.equal(train[0]["depth"], exact[0]["depth"])  # a plain index is not augmented
    assert not torch.equal(module(tmp_path, crop=0.6, seed=1).dataset("train")[(0, 0)]["image"], train[(0, 0)]["image"])


def test_loader_processes_get_the_same_samples(tmp_path):
    train = module(write_set(tmp_path), crop=0.6).dataset("train")
    again = pickle.loads(pickle.dumps(train))
    assert torch.equal(again[(2, 1)]["depth"], train[(2, 1)]["depth"])


# --- intrinsics -------------------------------------------------------------------------------------------------------

FX, FY, CX, CY = 71.0, 70.0, 39.0, 30.5
ROWS = [[FX, 0, CX], [0, FY, CY], [0, 0, 1]]
COLUMNS = [FX, 0, 0, 0, FY, 0, CX, CY, 1]


@pytest.mark.parametrize("content", [
    {"fx": FX, "fy": FY, "cx": CX, "cy": CY},
    {"color": {"fx": FX, "fy": FY, "ppx": CX, "ppy": CY, "width": 80, "height": 60, "coeffs": [0] * 5}, "scale": 0.001},
    {"intrinsic_matrix": COLUMNS, "width": 80, "height": 60},
    {"intrinsic_matrix": ROWS}, {"K": [x for row in ROWS for x in row]},
    {"camera_matrix": {"rows": 3, "cols": 3, "data": [x for row in ROWS for x in row]}},
    {"width": 160, "height": 120, "fx": 2 * FX, "fy": 2 * FY, "cx": 2 * CX + 0.5, "cy": 2 * CY + 0.5},
])  # fmt: skip
def test_spellings_of_intrinsics(tmp_path, content):
    write_set(tmp_path)
    (tmp_path / "intrinsics.json").write_text(json.dumps(content))
    found = module(tmp_path).preview("test")[0]["intrinsics"]
    np.testing.assert_allclose(found.numpy(), [[FX, 0, CX + 0.5], [0, FY, CY + 0.5], [0, 0, 1]], rtol=1e-6)


def test_intrinsics_by_config_and_the_nearest_file(tmp_path):
    write_set(tmp_path)
    found = module(tmp_path, intrinsics=[FX, FY, CX, CY], pixel_centre=0.5).preview("test")[0]["intrinsics"]
    np.testing.assert_allclose(found.numpy(), ROWS, rtol=1e-6)
    for i in range(4):
        (tmp_path / f"room_{i}" / "camera.json").write_text(json.dumps({"fx": 50 + i, "cx": 1, "cy": 2}))
    sample = module(tmp_path).preview("test")[0]
    assert float(sample["intrinsics"][0, 0]) == 50 + int(sample["object"][-1])


# --- splits -----------------------------------------------------------------------------------------------------------


def test_a_sequence_is_in_one_split_and_the_split_does_not_change(tmp_path):
    write_set(tmp_path, sequences=10, views=3)
    pairs = find_pairs(tmp_path)
    by_sequence = {p.sequence: {q.split for q in pairs if q.sequence == p.sequence} for p in pairs}
    assert all(len(splits) == 1 for splits in by_sequence.values())
    counts = [sum(split in splits for splits in by_sequence.values()) for split in ("train", "val", "test")]
    assert counts == [7, 1, 2]
    assert [p.split for p in find_pairs(tmp_path)] == [p.split for p in pairs]
    loose = find_pairs(tmp_path, sequence="file")
    assert len({p.sequence for p in loose}) == 30


def test_splits_by_folder_and_by_table(tmp_path):
    for split, name in (("train", "a"), ("val", "b"), ("test", "b")):
        write_set(tmp_path / split / name, sequences=1)
    pairs = find_pairs(tmp_path)
    assert {(p.split, p.sequence, p.category) for p in pairs} == {
        (s, f"{s}-{n}-room_0", n) for s, n in (("train", "a"), ("val", "b"), ("test", "b"))
    }
    lines = ["image,depth,split,category"]
    for pair in pairs:
        image, depth = (path.relative_to(tmp_path).as_posix() for path in (pair.image, pair.depth))
        lines.append(f"{image},{depth},{pair.split},kitchen")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    data = module(tmp_path, table="pairs.csv")
    assert [len(data.rows(split)) for split in ("train", "val", "test")] == [2, 2, 2]
    assert data.info["categories"] == ["kitchen"]


def test_other_common_names_make_pairs(tmp_path):
    colour, depth, _, matrix = view(0)
    for i, (image, target) in enumerate([
        ("a/color_0001.jpg", "a/depth_0001.png"), ("b/frame-000000.color.jpg", "b/frame-000000.depth.png"),
        ("c/x_Color.png", "c/x_Depth.npy"), ("d/0001.png", "d/0001_depth.npz"), ("images/e/1.png", "depth/e/1.png"),
    ]):  # fmt: skip
        write_image(tmp_path / image, colour)
        write_depth(tmp_path / target, depth)
        write_image(tmp_path / f"{'abcde'[i]}" / "infrared_0001.png", colour)  # belongs to nothing
    write_intrinsics(tmp_path / "camera_intrinsic.json", matrix)
    pairs = find_pairs(tmp_path)
    assert sorted(p.sequence for p in pairs) == list("abcde")
    assert all("infrared" not in p.image.name for p in pairs)


# --- what cannot be used ----------------------------------------------------------------------------------------------


def broken(folder, message, **options):
    with pytest.raises(UserError, match=message) as caught:
        module(folder, **options).make()
    assert "\n" not in str(caught.value)


def test_bad_folders_are_a_sentence(tmp_path):
    broken(tmp_path / "none", "is no folder")
    broken(tmp_path, "holds 0 images and 0 depth files")
    write_set(tmp_path)
    (tmp_path / "room_0" / "depth" / "0001.png").rename(tmp_path / "other.png")
    broken(tmp_path, r"1 of 8 files have no depth beside them, .*0001.png among")
    (tmp_path / "room_0" / "rgb" / "0001.png").unlink()
    write_depth(tmp_path / "room_0" / "depth" / "0009.png", view(0)[1])
    broken(tmp_path, "have no image beside them")


def test_bad_depth_is_a_sentence(tmp_path):
    write_set(tmp_path)
    file = tmp_path / "room_0" / "depth" / "0000.png"
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(file)
    broken(tmp_path, r"0000\.png is a picture with 8 bits or fewer, not depth: save depth as 16-bit PNG")
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(file)
    broken(tmp_path, "is a picture in colours")
    write_depth(file, np.ones((30, 40), np.float32))
    broken(tmp_path, "has 80 x 60 pixels, but .* has 40 x 30: save depth aligned to colour")
    file.write_bytes(b"nothing")
    broken(tmp_path, "cannot be read")
    file.unlink()
    np.save(file.with_suffix(".npy"), np.ones((*SIZE, 3), np.float32))
    broken(tmp_path, r"must be numbers of shape \(h, w\)")
    np.save(file.with_suffix(".npy"), np.array([{}], object), allow_pickle=True)
    broken(tmp_path, "cannot be read")
    file.with_suffix(".npy").unlink()
    np.savez(file.with_suffix(".npz"), a=np.ones(SIZE), b=np.ones(SIZE))
    broken(tmp_path, "holds the arrays a, b: name one of them 'depth'")


def test_bad_intrinsics_are_a_sentence(tmp_path):
    write_set(tmp_path)
    file = tmp_path / "intrinsics.json"
    for content, message in (
        ("{", "cannot be read as JSON"), ('{"focal": 3}', "expected fx, fy, cx, cy"), ("[1]", "got list"),
        ('{"fx": "a", "cx": 1, "cy": 1}', "must be numbers"), ('{"fx": -1, "cx": 1, "cy": 1}', r"must be \[\[fx"),
        ('{"fx": 1, "cx": 1, "cy": 1, "width": 100, "height": 100}', "belong to 100 x 100 pixels, but images have 80"),
    ):  # fmt: skip
        file.write_text(content)
        broken(tmp_path, message)
    file.unlink()
    broken(tmp_path, "there are no intrinsics for .*: put intrinsics.json")
    broken(tmp_path, "must be", intrinsics=[1, 2, 3])


def test_pictures_without_depth_are_listed_and_left_out(tmp_path, caplog):
    data = module(write_set(tmp_path, change=lambda d, n, k, i: d * (i != 3)))
    data.setup()
    assert [pair.depth.as_posix()[-21:] for pair in data.left_out] == ["room_1/depth/0001.png"]
    assert len(samples(data)) == 7
    assert "left out 1 of 8 pairs, which have no depth from 0.1 to 10 m" in caplog.text
    broken(tmp_path, r"none of the 8 depth files .* holds .* m: set data.depth_scale", depth_scale=1.0)


def test_a_unit_that_may_be_wrong_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    near = module(write_set(tmp_path))
    near.make()
    share = np.mean([(s["depth"] > 0).float().mean() for s in samples(near)])
    assert f"8 pairs: depth of {100 * share:.0f} % of the pixels, " in caplog.text
    median = np.median([np.median(view(i)[1][view(i)[1] > 0]) for i in range(8)])
    assert f", {median:.3g} m in the median" in caplog.text
    assert "data.depth_scale" not in caplog.text
    far = module(tmp_path, depth_scale=0.006)  # most of each chair lies beyond 10 m then
    far.make()
    outside = np.concatenate([view(i)[1][view(i)[1] > 0] for i in range(8)]) * 6 > 10
    assert 0.5 < outside.mean() < 1
    assert f"{100 * outside.mean():.0f} % of what the sensor measured lies outside 0.1 to 10 m" in caplog.text


def test_a_split_without_pictures_is_a_sentence(tmp_path):
    for split in ("train", "test"):
        write_set(tmp_path / split, sequences=1)
    with pytest.raises(UserError, match="has no 'val' pairs: put sequences under train/, val/ and test/"):
        module(tmp_path).dataset("val")
    write_set(tmp_path / "val", sequences=1, change=lambda depth, *_: depth * 0)
    with pytest.raises(UserError, match="has no 'val' pairs but 2 without a depth that counts: add some, or set"):
        module(tmp_path).dataset("val")


def test_bad_splits_are_a_sentence(tmp_path):
    write_set(tmp_path, sequences=1, views=5)
    broken(tmp_path, r"the 5 pairs .* are 1 sequence\(s\).*data.sequence=file")
    module(tmp_path, sequence="file").make()
    write_set(tmp_path / "test", sequences=1)
    broken(tmp_path, "some pairs of .* have a split and others none")
    head = "image,depth,split\n"
    table = tmp_path / "t.csv"
    one = "room_0/rgb/{}.png,room_0/depth/{}.png,{}\n"
    for text, message in (
        ("a,b\n", "has a column 'a'"), ("image,depth\n", "at least one row"),
        (head + "x.png,y.png,test\n", "line 2: there is no image"),
        (head + one.format("0000", "0000", "tset"), "split must be train, val or test, got 'tset'"),
        (head + one.format("0000", "0000", "train") + one.format("0001", "0001", "test"), "is in test and train"),
    ):  # fmt: skip
        table.write_text(text)
        broken(tmp_path, message, table="t.csv")


@pytest.mark.parametrize(("options", "message"), [
    ({"image_size": 4}, "data.image_size"), ({"image_size": [1, 2, 3]}, "data.image_size"),
    ({"batch_size": 0}, "at least 1"), ({"crop": 0}, "data.crop"), ({"mirror": 2}, "data.crop"),
    ({"depth_range": [3, 1]}, "data.depth_range"), ({"depth_scale": 0}, "data.depth_scale"),
    ({"sequence": "film"}, "data.sequence"),
])  # fmt: skip
def test_numbers_that_cannot_be(tmp_path, options, message):
    broken(tmp_path, message, **options)


def test_exr_is_read_by_its_library_and_missed_in_a_sentence(tmp_path, monkeypatch):
    import sys

    from lit3d.data.rgbd_files import read_depth

    exr = pytest.importorskip("OpenEXR")
    depth = view(0)[1]
    path = tmp_path / "a.exr"
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"Z": depth}).write(str(path))
    np.testing.assert_array_equal(read_depth(path), depth)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(UserError, match="pip install 'lit3d\\[exr\\]'"):
        read_depth(path)


def test_the_nominal_camera_is_the_mean_of_training(tmp_path):
    data = module(write_set(tmp_path), image_size=(30, 40))
    camera = data.nominal_camera()
    expected = np.diag([0.5, 0.5, 1]) @ view(0)[3]
    np.testing.assert_allclose(camera["intrinsics"], expected, atol=1e-6)
    assert 1.5 < camera["distance"] < 2.5
    assert camera["frame"] == "viewer"
