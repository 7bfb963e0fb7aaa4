"""What is kept beside a dataset: found once, and never met by another dataset, limit, frame or count."""

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lit3d.callbacks.kept import kept, of_rows


def data_in(root, fingerprint="a"):
    return SimpleNamespace(root=Path(root), opened=SimpleNamespace(fingerprint=fingerprint))


def never():
    raise AssertionError("found again")


def give(value):
    return lambda: {"x": np.full(3, value)}


def test_the_second_who_asks_gets_what_the_first_found(tmp_path):
    assert kept(data_in(tmp_path), "row", {"points": 3}, give(1))["x"].tolist() == [1, 1, 1]
    again = kept(data_in(tmp_path), "row", {"points": 3}, never)
    assert set(again) == {"x"}
    assert again["x"].tolist() == [1, 1, 1]


VIEWER = {"points": 3, "frame": "viewer"}


@pytest.mark.parametrize(
    ("dataset", "depends"), [("b", VIEWER), ("a", VIEWER | {"points": 4}), ("a", VIEWER | {"frame": "object"})]
)
def test_anything_else_is_found_anew_and_both_stay(tmp_path, dataset, depends):
    kept(data_in(tmp_path), "row", VIEWER, give(1))
    assert kept(data_in(tmp_path, dataset), "row", depends, give(2))["x"][0] == 2
    assert kept(data_in(tmp_path), "row", VIEWER, never)["x"][0] == 1


def test_rows_are_told_apart_by_object_view_and_number():
    rows = [("a", 0), ("a", 1), ("b", 0)]
    texts = [of_rows(r) for r in (rows, rows[:2], rows[::-1], [("a", 0), ("a", 1), ("b", 1)])]
    assert len(set(texts)) == 4
    assert of_rows(list(rows)) == texts[0]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"nonsense"])
def test_a_damaged_file_is_replaced(tmp_path, content):
    kept(data_in(tmp_path), "row", {}, give(1))
    (path,) = (tmp_path / "references").iterdir()
    path.write_bytes(content)
    assert kept(data_in(tmp_path), "row", {}, give(2))["x"][0] == 2
    assert kept(data_in(tmp_path), "row", {}, never)["x"][0] == 2


def test_a_file_renamed_by_hand_is_not_believed(tmp_path):
    kept(data_in(tmp_path, "a"), "row", {}, give(1))
    (path,) = (tmp_path / "references").iterdir()
    kept(data_in(tmp_path, "b"), "row", {}, give(2))
    (other,) = set((tmp_path / "references").iterdir()) - {path}
    path.replace(other)
    assert kept(data_in(tmp_path, "b"), "row", {}, give(3))["x"][0] == 3


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, caplog):
    (tmp_path / "references").write_text("a file in the way")
    assert kept(data_in(tmp_path), "row", {}, give(1))["x"][0] == 1
    assert "cannot be written" in caplog.text


def _hammer(root, value):
    for trial in range(20):
        found = kept(data_in(root), "row", {"trial": trial}, lambda: {"x": np.full(100_000, value)})["x"]
        assert (found == found[0]).all()


def test_processes_that_write_at_once_leave_whole_files(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_hammer, args=(tmp_path, value)) for value in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(list((tmp_path / "references").iterdir())) == 20  # and nothing written aside is left


def test_whoever_waits_is_told_what_for_and_only_once(tmp_path, capsys):
    for _ in range(2):
        kept(data_in(tmp_path), "mean_shape", VIEWER, give(1))
    assert capsys.readouterr().err.count("finding mean shape, once for this dataset") == 1
