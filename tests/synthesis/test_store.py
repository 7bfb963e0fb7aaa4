"""The dataset on disk: bytes, resuming, refusing, exchanging; with made-up objects, so that nothing is rendered."""

import errno
import hashlib
import io
import json
import multiprocessing
import os
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lit3d.errors import UserError
from lit3d.synthesis.sources.items import Item
from lit3d.synthesis.store import DatasetBuilder, ObjectRecord, Plan, ViewRecord, encode, files, layout, write_object
from lit3d.synthesis.store.archive import DamagedError, Directory, npz_bytes, write_zip
from lit3d.synthesis.store.record import fill, json_bytes, touches_border, viewpoint

sys.path.insert(0, str(Path(__file__).parent))  # worker processes import what they are sent by this name

from boxes import hold


def record(name: str, size: int = 8, views: int = 2, points: int = 20) -> ObjectRecord:
    rng = np.random.default_rng(layout.stable_hash(name))
    mask = np.zeros((size, size), bool)
    mask[2:5, 1:6] = True
    normal = np.where(mask[..., None], np.array([0, 0, -1], np.float32), 0)
    pose = np.eye(4)
    pose[2, 3] = 2.0
    pictures = tuple(ViewRecord(rng.integers(0, 255, (size, size, 4), np.uint8), mask * np.float32(1.5), normal, mask,
                                np.array([[70.0, 0, 4], [0, 70, 4], [0, 0, 1]]), pose) for _ in range(views))
    return ObjectRecord(rng.uniform(-0.5, 0.5, (points, 3)), rng.normal(size=(points, 3)),
                        rng.integers(0, 2, points), ("seat", "leg"), {"legs": np.int64(4)}, np.array([1, 0.5, 0.5]),
                        12, 0.25, pictures)


NAMES = [f"object-{number}" for number in range(5)]


def plan(kind: str = "shards", names=NAMES, **settings) -> Plan:
    labels = [Item(name, "chair", "train", facts={"creator": f"of {name}"}) for name in names]
    return Plan("made-up", {"a": 1}, {"views": 2, "points": 20, "image_size": 8} | settings, labels, kind)


def build(root: Path, wanted: Plan | None = None, overwrite: bool = False, stop_after: int | None = None) -> dict:
    wanted = wanted or plan()
    with DatasetBuilder(root, wanted, overwrite) as builder:
        for made, label in enumerate(builder.pending()):
            if made == stop_after:
                return {}
            builder.commit(write_object(builder.partial, label.object, encode(label, record(label.object))),
                           label.object)
        return builder.finish({}, [("flat rug", "no extent")], "thanks")


def digest(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*")) if path.is_file()}


def test_bytes_do_not_depend_on_order_or_interruption(tmp_path, monkeypatch):
    build(tmp_path / "whole")
    for _ in range(4):
        build(tmp_path / "parts", stop_after=1)
        assert not (tmp_path / "parts" / layout.INFO).exists()
    build(tmp_path / "parts")
    build(tmp_path / "backwards", plan(names=NAMES[::-1]))
    monkeypatch.setattr("time.time", lambda: 4e9)
    build(tmp_path / "later")
    assert digest(tmp_path / "whole") == digest(tmp_path / "parts") == digest(tmp_path / "backwards")
    assert digest(tmp_path / "whole") == digest(tmp_path / "later")
    assert set(digest(tmp_path / "whole")) == {
        "ATTRIBUTION.txt", "dataset.json", "failures.csv", "objects.csv", "shards/00.zip"}
    assert sorted(os.listdir(tmp_path)) == ["backwards", "later", "parts", "whole"]  # no locks, nothing beside


@pytest.mark.parametrize("kind", ["shards", "folders"])
def test_killed_at_any_rename_it_continues_to_the_same_bytes(tmp_path, monkeypatch, kind):
    """Every step that changes the folder fails once, at each place, as if the process had died there."""
    build(tmp_path / "whole", plan(kind))
    expected = digest(tmp_path / "whole")
    for step in range(40):
        root, calls = tmp_path / f"{step}", iter(range(1000))
        real = Path.replace

        def dying(self, target, real=real, calls=calls, step=step):
            if next(calls) == step:
                raise KeyboardInterrupt
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", dying)
            try:
                build(root, plan(kind))
                break  # fewer renames than steps: all places were tried
            except KeyboardInterrupt:
                assert not (root / layout.INFO).exists()
        build(root, plan(kind))
        assert digest(root) == expected
    assert 8 < step < 39


def test_folders_and_shards_hold_the_same_files(tmp_path):
    build(tmp_path / "folders", plan("folders"))
    build(tmp_path / "shards")
    with zipfile.ZipFile(tmp_path / "shards/shards/00.zip") as archive:
        assert archive.testzip() is None
        assert [entry.filename for entry in archive.infolist()] == sorted(archive.namelist())
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) and entry.compress_type == 0
                   for entry in archive.infolist())
        zipped = {name: archive.read(name) for name in archive.namelist()}
    plain = {str(path.relative_to(tmp_path / "folders/objects")): path.read_bytes()
             for path in (tmp_path / "folders/objects").rglob("*.*")}
    assert zipped == plain
    assert len(plain) == 5 * (2 * 2 + 4)


def test_tables(tmp_path):
    info = build(tmp_path / "d")
    lines = (tmp_path / "d/objects.csv").read_text().splitlines()
    assert lines[0] == "object,category,split,shard,views,faces,dropped_share,touches_border,occupancy,creator"
    assert lines[1] == "object-0,chair,train,00.zip,2,12,0.25,0,,of object-0"
    assert (tmp_path / "d/failures.csv").read_text() == "object,reason\nflat rug,no extent\n"
    assert (tmp_path / "d/ATTRIBUTION.txt").read_text() == "thanks"
    assert info["counts"] == {"objects": 5, "views": 10, "failures": 1, "splits": {"train": 5},
                              "categories": {"chair": 5}}
    assert info["statistics"] == {"mean_dropped_share": 0.25, "border_views": 0, "median_fill": 5 / 8}


def test_failed_objects_are_left_out_and_listed_even_if_the_end_is_repeated(tmp_path, monkeypatch):
    wanted = plan()

    def run(failures):
        with DatasetBuilder(tmp_path / "d", wanted) as builder:
            for label in builder.pending():
                if label.object != "object-2":
                    builder.commit(write_object(builder.partial, label.object, encode(label, record(label.object))),
                                   label.object)
            return builder.finish(failures)

    with monkeypatch.context() as patch:
        patch.setattr("lit3d.synthesis.store.tables.objects_csv", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run({"object-2": "killed, memory"})
    info = run({})  # nothing is pending any more: the first run's list counts
    assert info["counts"]["objects"] == 4
    assert "object-2,\"killed, memory\"" in (tmp_path / "d/failures.csv").read_text()


def test_nothing_usable_is_an_error(tmp_path):
    with DatasetBuilder(tmp_path / "d", plan(names=["a"])) as builder, \
            pytest.raises(UserError, match=r"Not one of the 1 objects of 'made-up' could be used \(a: no faces\)"):
        builder.finish({"a": "no faces"})
    with pytest.raises(UserError, match="has no objects"):
        plan(names=[])
    with pytest.raises(UserError, match="names 2 objects 'a'"):
        plan(names=["a", "b", "a"])


def test_other_settings_are_refused_by_name_and_overwritten_on_request(tmp_path):
    root = tmp_path / "d"
    build(root)
    before = digest(root)
    with pytest.raises(UserError, match=r"holds a dataset made otherwise \(settings.colour: absent there, 1 asked for; "
                                        r"settings.views: 2 there, 3 asked for\).*overwrite=true"):
        build(root, plan(views=3, colour=1))
    build(root, plan(views=3), overwrite=True, stop_after=2)
    assert digest(root) == before  # the old one is whole as long as the new one is not
    with pytest.raises(UserError, match="made otherwise"):
        build(root, plan(views=3))
    assert build(root, plan(views=3), overwrite=True)["settings"]["views"] == 3
    build(tmp_path / "fresh", plan(views=3))
    assert digest(root) == digest(tmp_path / "fresh")
    assert sorted(os.listdir(tmp_path)) == ["d", "fresh"]


@pytest.mark.parametrize("step", [1, 2])
def test_killed_during_the_exchange(tmp_path, monkeypatch, step):
    root = tmp_path / "d"
    build(root)
    (root / "notes.txt").write_text("mine")
    real, calls = Path.replace, []

    def dying(self, target):
        if self == root or Path(target) == root:
            calls.append(self)
            if len(calls) == step:
                raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            build(root, plan(views=3), overwrite=True)
    assert (root / layout.INFO).exists() == (step == 1)
    assert build(root, plan(views=3), overwrite=True)["settings"]["views"] == 3
    assert sorted(os.listdir(tmp_path)) == ["d", "d.kept"]
    assert os.listdir(tmp_path / "d.kept") == ["notes.txt"]  # a stranger's file is never removed


def test_unfinished_with_other_settings_is_refused(tmp_path):
    build(tmp_path / "d", stop_after=2)
    with pytest.raises(UserError, match=r"holds an unfinished dataset made otherwise \(settings.views: 2 there, 3"):
        build(tmp_path / "d", plan(views=3))
    with pytest.raises(UserError, match=r"items.count: 5 there, 1 asked for"):
        build(tmp_path / "d", plan(names=["a"]))


def test_a_strangers_folder_is_left_alone(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"holds other files \(thesis.tex\) and no dataset"):
            build(tmp_path / "d", overwrite=overwrite)
    with pytest.raises(UserError, match="is a file"):
        build(tmp_path / "d/thesis.tex")
    assert sorted(os.listdir(tmp_path)) == ["d"]


def test_a_second_writer_waits_and_a_dead_one_is_not_in_the_way(tmp_path, capsys):
    system = multiprocessing.get_context("forkserver")
    system.set_forkserver_preload(["lit3d.synthesis.pipeline"])
    ready, release = system.Event(), system.Event()
    other = system.Process(target=hold, args=(tmp_path / "d", plan(), ready, release))
    other.start()
    try:
        assert ready.wait(30)
        made = []
        second = threading.Thread(target=lambda: made.append(build(tmp_path / "d")))
        second.start()
        second.join(1.5)
        assert second.is_alive()
        assert "Another process is writing the dataset" in capsys.readouterr().err
    finally:
        other.kill()
        other.join()
    second.join(30)
    assert made[0]["counts"]["objects"] == 5


@pytest.mark.parametrize("place", ["object", "shard"])
def test_disk_full_is_a_sentence_and_leaves_nothing_half_written(tmp_path, monkeypatch, place):
    real, calls = os.fsync, iter(range(1000))
    when = 5 if place == "object" else 14

    def full(handle):
        if next(calls) == when:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(files.StorageError, match=r"the disk is full. Free some space and run the same command"):
            build(tmp_path / "d")
    assert not [path for path in (tmp_path / "d").rglob("*") if path.suffix == ".tmp"]
    assert not (tmp_path / "d" / layout.INFO).exists()
    build(tmp_path / "d")
    build(tmp_path / "whole")
    assert digest(tmp_path / "d") == digest(tmp_path / "whole")


def test_a_damaged_finished_object_is_made_anew(tmp_path):
    build(tmp_path / "d", stop_after=4)
    victim = tmp_path / "d/.partial/object-1.zip"
    content = bytearray(victim.read_bytes())
    content[2000] ^= 1
    victim.write_bytes(content)
    with pytest.raises(UserError, match=r"object-1.zip is damaged .* was removed. Run the same command again"):
        build(tmp_path / "d")
    build(tmp_path / "d")
    build(tmp_path / "whole")
    assert digest(tmp_path / "d") == digest(tmp_path / "whole")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "Stühle 100%", "x" * 400, "CON:*?"])
def test_any_id_becomes_one_safe_folder(tmp_path, name):
    folder = layout.folder_name(name)
    assert "/" not in folder
    assert not folder.startswith(".")
    assert len(folder) <= 160
    assert folder.isascii()
    build(tmp_path / "d", plan(names=[name, "y" * 400]))
    assert name in (tmp_path / "d/objects.csv").read_text()


def test_shards_depend_on_the_id_alone():
    assert layout.shard_number("chair-000001", 7) == 4
    assert [layout.shard_count(n) for n in (1, 500, 501, 10_000)] == [1, 1, 2, 20]


def test_directory_finds_what_zipfile_finds_and_names_damage(tmp_path):
    entries = [(f"{folder}/{name}.bin", os.urandom(size)) for size, folder in enumerate(("a", "a-b", "a.c"), 1)
               for name in ("x", "y")]
    stream = io.BytesIO()
    write_zip(stream, reversed(entries))  # any order
    directory = Directory(memoryview(stream.getvalue()))
    for name, content in entries:
        assert bytes(directory.find(*name.split("/"))[0]) == content
    assert sorted(directory.folders()) == ["a", "a-b", "a.c"]
    with pytest.raises(DamagedError, match="truncated"):
        Directory(memoryview(stream.getvalue()[:-30]))
    with pytest.raises(DamagedError, match="truncated"):
        Directory(memoryview(b""))
    with pytest.raises(DamagedError, match="directory"):
        Directory(memoryview(stream.getvalue()[100:]))


def test_directory_of_many_entries_goes_through_the_64_bit_form(tmp_path):
    with (tmp_path / "big.zip").open("wb") as stream:
        write_zip(stream, ((f"f/{n}", b"") for n in range(65_536)))
    content = memoryview((tmp_path / "big.zip").read_bytes())
    assert len(Directory(content, tmp_path / "big.zip").files("f")) == 65_536
    with pytest.raises(DamagedError, match="65,535"):
        Directory(content)


def test_npz_is_read_by_numpy():
    arrays = {"depth": np.arange(6, dtype=np.float32).reshape(2, 3), "mask": np.array([True, False])}
    with np.load(io.BytesIO(npz_bytes(arrays))) as found:
        assert {name: found[name].tolist() for name in found} == {k: v.tolist() for k, v in arrays.items()}


def test_description_of_a_view():
    mask = np.zeros((4, 8), bool)
    assert fill(mask) == 0
    mask[1:3, 2:6] = True
    assert (fill(mask), touches_border(mask)) == (0.5, False)
    mask[3, 3] = True
    assert touches_border(mask)
    turned = np.array([[0, 0, -1.0, 0], [0, -1, 0, 0], [-1, 0, 0, 3], [0, 0, 0, 1]])
    assert viewpoint(turned) == pytest.approx((90, 0, 3))  # from +x


def test_json_has_neither_numpy_nor_nan():
    assert json.loads(json_bytes({"a": np.float32(0.5), "b": np.array([1]), "c": float("nan"), "d": Path("x")})) == {
        "a": 0.5, "b": [1], "c": None, "d": "x"}
