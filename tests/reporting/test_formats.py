"""What a report says in each format, and of mistakes."""

import csv
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lit3d.errors import UserError
from lit3d.reporting.write import report


def test_markdown_has_scores_gains_and_point_sets(config, sweep, tmp_path):
    report(config([sweep], output=str(tmp_path / "r.md")))
    text = (tmp_path / "r.md").read_text()
    for wanted in ("| pointset, emd ", "**", "Gain over pointset, cd", "Free point sets: circle", "By category"):
        assert wanted in text
    for table in text.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") - line.count("\\|") for line in rows}) <= 1


def test_csv_is_tidy(config, sweep, tmp_path):
    report(config([sweep], "csv", output=str(tmp_path)))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text())))
    (row,) = [r for r in rows if (r["setting"], r["score"], r["category"]) == ("pointset, emd", "emd", "")
              and r["data"].startswith("grammar")]  # fmt: skip
    assert float(row["gain"]) > 0
    assert float(row["low"]) < float(row["gain"]) < float(row["high"])
    assert (row["runs"], row["images"], row["objects"], row["best"]) == ("2", "40", "20", "0")
    assert {r["category"] for r in rows} == {"", "chair", "table", "lamp", "car", "mug"}
    assert [r["mean"] for r in rows if r["score"] == "expected cd"] == ["0.0105"]


def test_the_figure_has_a_row_for_each_table_and_family(config, sweep, tmp_path):
    report(config([sweep], "png", output=str(tmp_path / "r.png")))
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.width > 1200
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    thirds = np.array_split(pixels, 3, axis=1)
    assert all((third.max(2) - third.min(2) > 60).mean() > 0.0005 for third in thirds)  # colour in each column


def test_the_page_is_one_file_and_says_nothing_of_this_machine(config, sweep, tmp_path):
    _, path = report(config([sweep], "html", output=str(tmp_path / "r.html")))
    text = path.read_text()
    assert text.count("plotly.js v") == 1
    assert not [w for w in ('src="http', "<link", "import(") if w in text.split("plotly.js v")[0]]
    assert str(sweep) not in text
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(config, sweep, tmp_path, monkeypatch):
    path = tmp_path / "r.md"
    path.write_text("earlier")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\).*output=FILE"):
        report(config([sweep], output=str(path)))
    assert path.read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"format": "htm"}, "format must be one of html, md, csv, png, got 'htm'. Did you mean 'html'"),
    ({"format": "png", "output": "-"}, "output=- prints"), ({"runs": None}, "runs=... is missing"),
    ({"runs": "no*such"}, "no folder has such a name"), ({"runs": "nowhere"}, "there is no such folder"),
])  # fmt: skip
def test_mistakes_are_sentences(config, sweep, changes, sentence):
    with pytest.raises(UserError) as caught:
        report(config([sweep]) | changes)
    assert sentence in str(caught.value)


def test_a_pattern_names_runs(config, sweep, tmp_path):
    contents, _ = report(config([f"{sweep}/*cd_s0"], output=str(tmp_path / "r.md")))
    assert [run.name for run in contents.runs] == [
        "0_pointset-cd_s0", "4_mesh_deform-cd_s0", "8_mean_shape-circle-cd_s0",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_command(sweep, tmp_path):
    command = [sys.executable, "-m", "lit3d.report", f"runs={sweep}", "format=md", "output=-"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.startswith("# multirun")
    wrong = subprocess.run([*command[:3], "runs=x"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].startswith("lit3d: runs=x: there is no such folder")
    assert "Traceback" not in wrong.stderr
