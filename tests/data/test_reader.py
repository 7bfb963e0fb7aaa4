"""Random access to a dataset: both layouts, other processes, and every kind of damage."""

import io
import json
import multiprocessing
import os
import pickle
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from PIL import Image

from lit3d.data import reader as reader_module
from lit3d.data.files import array_of, arrays_of
from lit3d.data.reader import DatasetReader
from lit3d.errors import UserError
from lit3d.synthesis import GrammarSource, SynthesisSettings, synthesize
from lit3d.synthesis.shape import Shape
from lit3d.synthesis.sources.items import Item
from lit3d.synthesis.store import DatasetBuilder, ObjectRecord, Plan, ViewRecord, encode, write_object
from lit3d.synthesis.store.archive import DamagedError, npy_bytes

SIZE, VIEWS, POINTS = 16, 3, 200
SETTINGS = SynthesisSettings(image_size=16, views=1, points=100, samples=1, workers=1)
MESH = Shape(np.eye(3) - 0.5, np.array([[0, 1, 2]]), np.ones((1, 3), np.float32), np.zeros(1, np.int32), ("all",), {},
             np.zeros((1, 3, 2), np.float32), np.zeros(1, np.int32), (np.full((2, 2, 3), 7, np.uint8),))


def made(number: int) -> tuple[Item, ObjectRecord]:
    rng = np.random.default_rng(number)
    views = []
    for view in range(VIEWS):
        mask = rng.random((SIZE, SIZE)) < 0.5
        pose = np.eye(4)
        pose[:3, 3] = rng.random(), rng.random(), 2
        normal = rng.normal(size=(SIZE, SIZE, 3)) * mask[..., None]
        views.append(ViewRecord(rng.integers(0, 256, (SIZE, SIZE, 4), np.uint8), rng.random((SIZE, SIZE)) * mask,
                                normal, mask, np.array([[20.0 + view, 0, 8], [0, 20, 8], [0, 0, 1]]), pose))
    item = Item(f"thing-{number}", "chair" if number % 2 else "mug", "test" if number == 3 else "train", {"maker": "M"})
    return item, ObjectRecord(rng.uniform(-0.5, 0.5, (POINTS, 3)).astype(np.float32), rng.normal(size=(POINTS, 3)),
                              rng.integers(0, 2, POINTS), ("a", "b"), {"legs": 4}, np.ones(3), 12, 0.125,
                              tuple(views), MESH)


def build(root: Path, layout: str) -> Path:
    objects = [made(number) for number in range(5)]
    settings = {"image_size": SIZE, "views": VIEWS, "points": POINTS, "keep_meshes": True}
    plan = Plan("made-up", {"n": 5}, settings, [item for item, _ in objects], layout)
    with DatasetBuilder(root, plan) as builder:
        for item, record in objects:
            builder.commit(write_object(builder.partial, item.object, encode(item, record)), item.object)
        builder.finish({})
    return root


@pytest.fixture(scope="module", params=["shards", "folders"])
def root(request, tmp_path_factory):
    return build(tmp_path_factory.mktemp(request.param) / "d", request.param)


def test_reads_what_was_written(root):
    reader = DatasetReader(root)
    for number in range(5):
        item, record = made(number)
        for view, written in enumerate(record.views):
            np.testing.assert_array_equal(reader.image(item.object, view), written.image)
            depth, normal, mask = reader.geometry(item.object, view)
            np.testing.assert_array_equal(depth, written.depth.astype(np.float32))
            np.testing.assert_array_equal(mask, written.mask)
            np.testing.assert_allclose(normal, written.normal, rtol=1e-3, atol=1e-6)
            intrinsics, object_to_camera = reader.camera(item.object, view)
            np.testing.assert_allclose(intrinsics, written.intrinsics)
            np.testing.assert_allclose(object_to_camera, written.object_to_camera, rtol=1e-6)
        points, normals, parts = reader.points(item.object)
        np.testing.assert_array_equal(points, record.points)
        np.testing.assert_allclose(normals, record.normals, rtol=1e-3)
        np.testing.assert_array_equal(parts, record.parts)
        assert [a.dtype for a in (depth, normal, points, normals, parts, intrinsics)] == [np.float32] * 4 + [
            np.uint8, np.float32]
        assert reader.category(item.object) == item.category
        assert reader.description(item.object)["attributes"] == {"legs": 4}
    assert not list(reader.verify())


def test_tables_and_index(root):
    reader = DatasetReader(root)
    assert (len(reader), reader.point_count, reader.info["image_size"]) == (5, POINTS, SIZE)
    assert reader.objects[3].facts == {"maker": "M"}
    assert reader.objects[3].dropped_share == 0.125
    assert reader.index(split="test") == [("thing-3", 0), ("thing-3", 1), ("thing-3", 2)]
    assert len(reader.index()) == 15
    assert {name for name, _ in reader.index(categories=["mug"])} == {"thing-0", "thing-2", "thing-4"}
    assert reader.index(split="val") == []
    with pytest.raises(UserError, match=r"no category 'mugs'; it has chair, mug. Did you mean 'mug'"):
        reader.index(categories=["mugs"])


def test_blocks_of_points(root):
    reader = DatasetReader(root)
    points, _, parts = reader.points("thing-1")
    np.testing.assert_array_equal(reader.points(1, 50)[0], points[:50])
    np.testing.assert_array_equal(reader.point_array("thing-1", "points", 30, 20), points[30:50])
    np.testing.assert_array_equal(reader.point_array("thing-1", "point_parts", 180), parts[180:])
    assert len(reader.points("thing-1", 10, keys=("points",))) == 1
    assert reader.point_array(0, "points", 0, 0).shape == (0, 3)
    with pytest.raises(UserError, match=r"have 200 points, 150 to 250 were asked for.*points=250"):
        reader.point_array("thing-1", "points", 150, 100)


def test_arrays_belong_to_the_caller(root):
    reader = DatasetReader(root)
    for read in (lambda: [reader.image(0, 0)], lambda: reader.geometry(0, 0), lambda: reader.points(0, 9),
                 lambda: reader.camera(0, 0)):
        before = [array.copy() for array in read()]
        for array in read():
            array[...] = 1
        np.testing.assert_equal(list(read()), before)


def test_mesh(root):
    mesh = DatasetReader(root).mesh("thing-2")
    np.testing.assert_allclose(mesh.vertices, MESH.vertices)
    np.testing.assert_array_equal(mesh.textures[0], MESH.textures[0])
    assert (mesh.faces.dtype, mesh.texture_of_face.tolist()) == (np.int64, [0])


def test_unknown_object_view_and_mesh(root, monkeypatch):
    reader = DatasetReader(root)
    with pytest.raises(UserError, match=r"no object 'thing-9'. Did you mean 'thing-4'"):
        reader.image("thing-9", 0)
    with pytest.raises(UserError, match="has 5 objects, so there is no row 5"):
        reader.image(5, 0)
    with pytest.raises(UserError, match="has 3 views, so there is no view 3"):
        reader.camera(0, 3)
    monkeypatch.setitem(reader.info["settings"], "keep_meshes", False)
    with pytest.raises(UserError, match="keep_meshes=true"):
        reader.mesh(0)


def _send(connection, reader) -> None:
    connection.send(reader.image("thing-1", 1))


@pytest.mark.parametrize("opened", [False, True])
def test_after_a_fork_and_after_pickling(root, opened):
    reader = DatasetReader(root)
    expected = DatasetReader(root).image("thing-1", 1)
    if opened:
        reader.image("thing-0", 0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).image("thing-1", 1), expected)
    assert len(pickle.dumps(reader)) < 1000  # files and tables do not travel
    if "fork" in multiprocessing.get_all_start_methods():
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_send, args=(theirs, reader))
        child.start()
        np.testing.assert_array_equal(ours.recv(), expected)
        child.join()


def test_the_second_snippet_reads_queries(tmp_path):
    synthesize(GrammarSource(1, categories=["mug"]), tmp_path / "d", replace(SETTINGS, queries=500, near_queries=60))
    text = (Path(__file__).parents[2] / "docs/dataset_format.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    reader = DatasetReader(tmp_path / "d")
    for near, count in ((False, 333), (True, 60)):
        with zipfile.ZipFile(tmp_path / "d/shards/00.zip") as objects:
            found = {"objects": objects, "name": "mug-000000", "count": count, "json": json, "np": np, "io": io,
                     "scipy": scipy, "points": reader.points(0)[0]}
            exec(code.replace("near = False", f"near = {near}"), found)
        places, inside = reader.queries(0, 0, count, near)
        np.testing.assert_allclose(found["queries"], places, atol=1e-7)
        np.testing.assert_array_equal(found["inside"][:count], inside)


def test_the_snippet_of_the_documentation_reads_a_sample(tmp_path):
    root = build(tmp_path / "d", "shards")
    text = (Path(__file__).parents[2] / "docs/dataset_format.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.S)[1]
    found = {"root": str(root), "shard": "00.zip", "name": "thing-1"}
    exec(code, found)
    reader = DatasetReader(root)
    np.testing.assert_array_equal(found["image"], reader.image("thing-1", 0))
    np.testing.assert_array_equal(found["geometry"]["depth"], reader.geometry("thing-1", 0)[0])
    np.testing.assert_array_equal(found["points"], reader.points("thing-1")[0])
    np.testing.assert_allclose(found["K"], reader.camera("thing-1", 0)[0])
    assert found["u"].shape == (POINTS,)


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path):
    return build(tmp_path / "d", "shards")


@pytest.fixture
def folders(tmp_path):
    return build(tmp_path / "d", "folders")


def flip(root: Path, entry: str, where: float = 0.5) -> None:
    """Turn one bit of an entry's content over."""
    path = root / "shards/00.zip"
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(entry)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + len(entry) + int(info.file_size * where)] ^= 64
    path.write_bytes(content)


def test_no_folder_no_dataset_not_finished_other_version(shards, tmp_path):
    with pytest.raises(UserError, match=r"no dataset at .*nowhere: no such folder.*lit3d.synthesize"):
        DatasetReader(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").touch()
    with pytest.raises(UserError, match=r"photos is no lit3d dataset: it holds cat.jpg, but no dataset.json"):
        DatasetReader(tmp_path / "photos")
    info = json.loads((shards / "dataset.json").read_text())
    (shards / "dataset.json").write_text(json.dumps(info | {"version": 2}))
    with pytest.raises(UserError, match=r"dataset.json says 'lit3d dataset' version 2; this lit3d reads .* version 1"):
        DatasetReader(shards)
    (shards / "dataset.json").write_text("{")
    with pytest.raises(UserError, match=r"dataset.json is damaged"):
        DatasetReader(shards)
    (shards / "dataset.json").unlink()
    (shards / ".partial").mkdir()
    with pytest.raises(UserError, match=r"is not finished. Run the `python -m lit3d.synthesize` command that began it"):
        DatasetReader(shards)


def test_damaged_tables(shards):
    table = shards / "objects.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:3]))
    with pytest.raises(UserError, match=r"objects.csv lists 2 objects, dataset.json says 5: it was truncated"):
        DatasetReader(shards)
    table.write_text("".join(lines[:3]) + "thing-2,mug")
    with pytest.raises(UserError, match=r"objects.csv is damaged"):
        DatasetReader(shards)
    table.unlink()
    with pytest.raises(UserError, match=r"objects.csv is missing"):
        DatasetReader(shards)


@pytest.mark.parametrize(("entry", "read"), [
    ("thing-2/001.png", lambda r: r.image("thing-2", 1)),
    ("thing-2/001.npz", lambda r: r.geometry("thing-2", 1)),
    ("thing-2/object.json", lambda r: r.camera("thing-2", 1)),
    ("thing-2/mesh.npz", lambda r: r.mesh("thing-2")),
])
def test_a_flipped_bit_is_noticed_and_costs_one_file(shards, entry, read):
    flip(shards, entry)
    reader = DatasetReader(shards)
    with pytest.raises(UserError, match=rf"{entry} in .*00.zip is damaged: its checksum does not fit.*Copy it anew"):
        read(reader)
    assert [re.match(r"\S+", text).group() for text in reader.verify()] == [entry]
    reader.image("thing-1", 1)
    reader.points("thing-2")


def test_points_that_make_no_sense_are_checked(shards):
    """A block of points has no checksum of its own; a number that cannot be a coordinate betrays the damage."""
    with zipfile.ZipFile(shards / "shards/00.zip") as archive:
        size = archive.getinfo("thing-2/points.npy").file_size
    flip(shards, "thing-2/points.npy", (128 + 12 * 7 + 3) / size)  # a bit of the exponent of the eighth x
    with pytest.raises(UserError, match=r"thing-2/points.npy in .* is damaged: its checksum"):
        DatasetReader(shards).points("thing-2", 10)
    assert len(list(DatasetReader(shards).verify())) == 1


@pytest.mark.parametrize("keep", [0, 10, 5000, -10])
def test_a_truncated_shard_is_named(shards, keep):
    path = shards / "shards/00.zip"
    path.write_bytes(path.read_bytes()[:keep])
    reader = DatasetReader(shards)
    with pytest.raises(UserError, match=r"thing-2/001.png in .*00.zip is damaged: .*(truncated|empty).*overwrite=true"):
        reader.image("thing-2", 1)
    assert len(list(reader.verify())) == 5


def test_a_missing_shard_or_object_is_named(shards, tmp_path):
    content = (shards / "shards/00.zip").read_bytes()
    (shards / "shards/00.zip").unlink()
    with pytest.raises(UserError, match=r"thing-1/000.png in .*00.zip is missing"):
        DatasetReader(shards).image("thing-1", 0)
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(shards / "shards/00.zip", "w") as new:
        for name in reversed(old.namelist()):  # packed anew by another hand: other order, one object left out
            if not name.startswith("thing-1/"):
                new.writestr(name, old.read(name))
    reader = DatasetReader(shards)
    with pytest.raises(UserError, match=r"thing-1/000.png in .*00.zip is missing"):
        reader.image("thing-1", 0)
    np.testing.assert_array_equal(reader.image("thing-4", 2), made(4)[1].views[2].image)


def test_damaged_plain_files(folders):
    reader, home = DatasetReader(folders), folders / "objects/thing-2"
    for file in ("000.png", "000.npz", "points.npy", "object.json"):
        (home / file).write_bytes((home / file).read_bytes()[:150])
    (home / "001.png").unlink()
    (home / "001.npz").write_bytes(b"")
    for read in (lambda: reader.image("thing-2", 0), lambda: reader.geometry("thing-2", 0),
                 lambda: reader.points("thing-2", 5), lambda: reader.description("thing-2"),
                 lambda: reader.geometry("thing-2", 1)):
        with pytest.raises(UserError, match=r"objects/thing-2/\S+ is damaged"):
            read()
    with pytest.raises(UserError, match=r"thing-2/001.png is missing"):
        reader.image("thing-2", 1)
    assert len(list(reader.verify())) == 6
    shutil.rmtree(home)
    with pytest.raises(UserError, match="is missing"):
        reader.points("thing-2", 5)
    reader.image("thing-3", 0)


def test_array_files():
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(array_of(npy_bytes(array)), array)
    for wrong in (b"", b"\x93NUMPY\x01\x00\xff\xff", b"PK" * 100, npy_bytes(array)[:-1],
                  npy_bytes(np.asfortranarray(array)).replace(b"'fortran_order': False", b"'fortran_order': True ")):
        with pytest.raises(DamagedError):
            array_of(wrong)
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    with pytest.raises(DamagedError, match="unexpected kind"):
        array_of(stream.getvalue())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_written_by_numpy_are_read_too(save):
    stream = io.BytesIO()
    save(stream, depth=np.arange(3.0), mask=np.array([True]))
    found = arrays_of(stream.getvalue())
    assert {name: array.tolist() for name, array in found.items()} == {"depth": [0, 1, 2], "mask": [True]}


def test_only_png_is_opened(folders):
    """A file that says it is a PNG and is something else never reaches another decoder."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "BMP")
    (folders / "objects/thing-0/000.png").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="is damaged"):
        DatasetReader(folders).image("thing-0", 0)


def test_many_objects_do_not_fill_memory(root, monkeypatch):
    reader = DatasetReader(root)
    assert reader._cameras_of.cache_info().maxsize == 16_384
    assert "mmap" not in reader_module.__dict__
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for _ in range(50):
        reader.points("thing-0", 3)
    after = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    assert after <= before + 2


def test_the_fingerprint_follows_the_content_and_nothing_else(root, tmp_path):
    first = DatasetReader(root).fingerprint
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert DatasetReader(root).fingerprint == first
    again = build(tmp_path / "again", "shards")
    if (root / "shards").is_dir():
        assert DatasetReader(again).fingerprint == first  # other folder, other time, same bytes
    (shard,) = (again / "shards").iterdir()
    entries = {name: zipfile.ZipFile(shard).read(name) for name in zipfile.ZipFile(shard).namelist()}
    entries["thing-3/points.npy"] = npy_bytes(np.zeros((POINTS, 3), np.float32))  # the same size, other points
    with zipfile.ZipFile(shard, "w") as changed:
        for name, content in entries.items():
            changed.writestr(name, content)
    assert DatasetReader(again).fingerprint != first
    shard.write_bytes(b"cut")
    with pytest.raises(UserError, match="damaged"):
        DatasetReader(again).fingerprint


def test_the_fingerprint_of_plain_files_sees_a_file_that_was_replaced(tmp_path):
    root = build(tmp_path / "d", "folders")
    first = DatasetReader(root).fingerprint
    path = root / "objects" / "thing-3" / "points.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    os.utime(path, ns=(1, 1))
    assert DatasetReader(root).fingerprint != first
