"""What a report finds in run folders, whole, foreign and damaged, and what it says in each format."""

import base64
import csv
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lit3d.errors import UserError
from lit3d.reporting.contents import curve, gather
from lit3d.reporting.folders import natural
from lit3d.reporting.html import page_data
from lit3d.reporting.shapes import views_of
from lit3d.reporting.words import headlines
from lit3d.reporting.write import report


def config(runs, form="md", **changes):
    return {"runs": [str(r) for r in runs], "baseline": None, "format": form, "output": None, "title": None} | changes


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_differ_in_the_seed_alone_and_are_named_by_what_varied(sweep):
    found = gather([sweep])
    assert len(found.runs) == 12
    labels = {s.label: len(s.runs) for s in found.settings}
    assert labels == {
        "pointset, cd": 2, "pointset, emd": 2, "mesh_deform, cd": 2, "mesh_deform, emd": 2,
        "circle: cd": 2, "circle: emd": 2,
    }  # fmt: skip
    free = {v.name: v for v in found.varied if not v.follows}
    assert list(free) == ["model", "loss", "seed"]
    assert "data" in {v.name for v in found.varied} | set(free["model"].others)  # that of a point set comes with it
    assert "loss.cd.weight" in free["loss"].others
    assert not [k for k in found.fixed if k.startswith(("paths", "name"))]


def test_point_sets_are_among_the_findings(sweep):
    found = list(headlines(gather([sweep])))
    assert found[0].endswith("varied: model, loss, seed.")
    assert found[2].startswith("circle, free point sets: share of the points off the member they fit best: 0.500")


def test_another_seed_than_the_runs_makes_a_setting(make):
    for n, (seed, other) in enumerate([(0, 0), (1, 0), (0, 1)]):
        make.run(make.root / f"{n}", seed=seed, synthesis={"seed": other})
    assert [s.label for s in gather([make.root]).settings] == ["synthesis.seed=0", "synthesis.seed=1"]


def test_where_a_run_wrote_does_not_make_a_setting(make):
    for name, rate in (("a", 1), ("b", 1), ("c", 2)):
        make.run(make.root / name, seed=0, remark=f"{make.root / name}/x", rate=rate, data={"name": "g", "root": name})
    found = gather([make.root])
    assert [(s.label, s.runs) for s in found.settings] == [("rate=1", (0, 1)), ("rate=2", (2,))]
    assert [v.name for v in found.varied] == ["rate"]


def test_a_single_run_and_settings_that_vary_together(make):
    make.run(make.root / "a", model="pointset", loss="cd", seed=0)
    assert [s.label for s in gather([make.root]).settings] == ["pointset, cd"]
    make.run(make.root / "b", model="mesh_deform", loss="emd", seed=1)
    found = gather([make.root])
    assert [s.label for s in found.settings] == ["pointset", "mesh_deform"]
    assert {"loss", "seed"} <= set(found.varied[0].others)


def test_an_evaluation_stands_beside_runs(make):
    """Its config has no model and no loss of its own: results.json says which was scored."""
    make.run(make.root / "a", model="pointset", loss="cd", seed=0)
    folder = make.run(make.root / "b", model="mesh_deform", loss="emd", seed=3)
    (folder / "config.yaml").write_text("name: b\npaths: {output: x}\ndata: {name: grammar, frame: viewer}\n")
    found = gather([make.root])
    assert [s.label.split(",")[0] for s in found.settings] == ["pointset", "mesh_deform"]
    assert found.blocks[0].splits[0].gains[""]


def test_folders_are_in_the_order_of_their_numbers(make):
    for n in (0, 2, 10):
        make.run(make.root / f"{n}_x", seed=n)
    assert [r.name for r in gather([make.root]).runs] == ["0_x", "2_x", "10_x"]
    assert natural("2_a") < natural("10_a") < natural("x")


# --- tables -----------------------------------------------------------------------------------------------------------


def test_means_spreads_and_bests_are_those_of_results_json(sweep):
    found = gather([sweep])
    (block,), split = found.blocks, found.blocks[0].splits[0]
    files = [json.loads((run.folder / "results.json").read_text())["test"] for run in found.runs[:2]]
    cell = split.cells["pointset, cd"]["fscore_5pct"]
    values = [f["fscore_5pct"] for f in files]
    assert (cell.mean, cell.spread, cell.runs) == pytest.approx((np.mean(values), np.std(values, ddof=1), 2))
    assert split.best["fscore_5pct"] == ["mesh_deform, emd"]
    assert split.best["chamfer_l1"] == ["mesh_deform, emd"]  # the least is the best
    assert "failure" not in split.best
    assert split.references["truth resampled"]["fscore_5pct"] == 0.98
    assert block.baseline == "pointset, cd"
    chairs = split.classes["chair"]["pointset, cd"]["fscore_5pct"].mean
    assert chairs == pytest.approx(
        np.mean([run.results["test_by_class"]["chair"]["fscore_5pct"] for run in found.runs[:2]])
    )


def test_gains_pair_images_and_have_the_sign_of_better(sweep):
    split = gather([sweep]).blocks[0].splits[0]
    gain = split.gains[""]["pointset, emd"]
    images = np.mean([split.scores["pointset, emd"]["emd"] - split.scores["pointset, cd"]["emd"]])
    assert gain["emd"].mean == pytest.approx(-images)
    assert gain["emd"].mean > 0
    assert gain["fscore_5pct"].low > 0
    assert (gain["emd"].images, gain["emd"].objects) == (40, 20)
    assert gain["emd"].p_holm >= gain["emd"].p
    assert split.gains["chair"]["pointset, emd"]["emd"].objects == 4
    assert "normal_consistency" not in split.gains[""]["mesh_deform, cd"]  # the baseline has no such score


def test_only_images_that_both_have_are_compared(make):
    make.run(make.root / "a", loss="cd", images=40)
    b = make.run(make.root / "b", loss="emd", images=40)
    lines = (b / "per_sample.csv").read_text().splitlines()
    (b / "per_sample.csv").write_text("\n".join([lines[0], *reversed(lines[1:31])]) + "\n")
    split = gather([make.root]).blocks[0].splits[0]
    assert split.images == {"cd": "40", "emd": "30"}
    _, path = report(config([make.root]))
    assert "different numbers of images" in path.read_text()
    gain = split.gains[""]["emd"]["fscore_5pct"]
    assert (gain.images, gain.objects) == (30, 15)
    own = split.scores["emd"]["fscore_5pct"]
    assert np.isnan(own).sum() == 10
    assert gain.mean == pytest.approx(np.nanmean(own - split.scores["cd"]["fscore_5pct"]))


def test_other_data_and_other_numbers_of_points_are_never_in_one_table(make):
    for name, data, n in (("a", "x", 1024), ("b", "y", 1024), ("c", "x", 256)):
        results = make.run(make.root / name) / "results.json"
        content = json.loads(results.read_text())
        content["data"]["version"], content["counts"]["n"] = data, n
        results.write_text(json.dumps(content))
    blocks = gather([make.root]).blocks
    assert len(blocks) == 3
    assert not any(split.gains[""] for block in blocks for split in block.splits)


@pytest.mark.parametrize("name", ["pointset, emd", "mesh_deform, cd", "2_pointset-emd_s0", "deform, c"])
def test_a_baseline_is_a_setting_a_run_or_part_of_a_name(sweep, name):
    block = gather([sweep], name).blocks[0]
    assert block.baseline == ("mesh_deform, cd" if "c" in name.split(",")[-1] else "pointset, emd")
    assert block.baseline not in block.splits[0].gains[""]


@pytest.mark.parametrize(("name", "count"), [("nothing", 0), ("pointset", 2)])
def test_another_baseline_is_refused_with_the_choices(sweep, name, count):
    with pytest.raises(UserError, match=rf"baseline={name} names {count} settings.*pointset, cd; pointset, emd"):
        gather([sweep], name)


def test_curves_by_time_are_read_or_estimated(make):
    folder = make.run(make.root / "a")
    (run,) = gather([folder]).runs
    known = curve(run, "val/fscore_5pct")
    assert known["steps"] == [120, 240, 360, 480, 600]
    assert (known["seconds"], known["estimated"]) == ([60.0, 120.0, 180.0, 240.0, 299.5], False)
    (folder / "times.csv").unlink()
    (run,) = gather([folder]).runs
    guessed = curve(run, "val/fscore_5pct")
    assert (guessed["seconds"], guessed["estimated"]) == ([60.0, 120.0, 180.0, 240.0, 300.0], True)


# --- what cannot be used ----------------------------------------------------------------------------------------------


def cut(name, share):
    def work(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return work


def put(name, content):
    def work(folder):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return work


def lose(*names):
    def work(folder):
        for name in names:
            (folder / name).unlink()

    return work


def running(folder):
    lose("results.json")(folder)
    put("status.json", '{"status": "running", "reason": null}')(folder)


DAMAGE = {
    "cut results": cut("results.json", 0.2), "list": put("results.json", "[]"),
    "binary": put("results.json", b"\xff\x00"),
    "words": put("results.json", '{"test": {"fscore_5pct": "good"}}'), "no scores": put("results.json", '{"files": 3}'),
    "cut config": put("config.yaml", "a: [1, {"), "no results": lose("results.json"), "running": running,
    "failed": put("status.json", '{"status": "failed", "reason": "UserError: no | such <thing>"}'),
    "cut table": cut("per_sample.csv", 0.5), "foreign table": put("per_sample.csv", "a,b\n1,2\n"),
    "no table": lose("per_sample.csv"), "cut curves": put("metrics.csv", "step,train/loss\n1,x\n"),
    "cut views": cut("media/test_views.npz", 0.5), "times": put("times.csv", b"\xff\xfe,"),
}  # fmt: skip


def damage(folder, how):
    DAMAGE[how](folder)


@pytest.mark.parametrize(("how", "reason"), [
    ("cut results", "results.json cannot be read"), ("list", "holds a list"), ("words", "no numbers"),
    ("no scores", "no scores of a test"), ("binary", "results.json cannot be read"), ("cut config", "config.yaml"),
    ("no results", "finished without a test"), ("running", "unfinished"), ("failed", "failed: UserError"),
])  # fmt: skip
def test_a_folder_that_cannot_be_used_is_named_with_its_reason(make, how, reason):
    make.run(make.root / "good")
    damage(make.run(make.root / "bad", seed=1), how)
    found = gather([make.root])
    assert [run.name for run in found.runs] == ["good"]
    assert [item.name for item in found.left_out] == ["bad"]
    assert reason in found.left_out[0].reason
    for form in ("html", "md", "csv", "png"):
        report(config([make.root], form))
    assert reason.split(" ")[0] in (make.root / "report.md").read_text()


@pytest.mark.parametrize(("how", "note"), [
    ("cut table", "per_sample.csv"), ("foreign table", "per_sample.csv is damaged"), ("no table", "no per_sample.csv"),
    ("cut curves", "metrics.csv is damaged"), ("cut views", "the shapes of test are damaged"), ("times", None),
])  # fmt: skip
def test_a_damaged_part_is_noted_and_the_rest_is_used(make, how, note):
    make.run(make.root / "good")
    damage(make.run(make.root / "bad", loss="emd"), how)
    contents, path = report(config([make.root], "html"))
    assert [run.name for run in contents.runs] == ["bad", "good"]
    notes = [text for run in contents.runs for text in run.notes]
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]
    assert note is None or note.split(" (")[0] in path.read_text()


def test_nothing_usable_is_a_sentence(make):
    with pytest.raises(UserError, match="there is no such folder"):
        gather([make.root / "nowhere"])
    with pytest.raises(UserError, match="no run lies there"):
        gather([make.root])
    damage(make.run(make.root / "bad"), "running")
    with pytest.raises(UserError, match="none of 1 run folders can be used: bad: unfinished"):
        gather([make.root])


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_views_are_in_the_cameras_axes_with_y_up_and_templates_are_packed_once(sweep):
    contents = gather([sweep])
    views, note = views_of(contents.runs[4])
    assert (len(views), note) == (24, "")
    with np.load(contents.runs[4].folder / "media" / "test_views.npz") as kept:
        first = kept["vertices"][: kept["vertex_counts"][0]].astype(float)
    view = next(iter(views.values()))
    np.testing.assert_allclose(view.vertices, first * [1, -1, -1], atol=1e-3)
    data, _ = page_data(contents)
    (block,) = data["blocks"]
    faces = {shape[1] for v in block["views"] for shape in v["shapes"].values() if len(shape) == 2}
    assert len(faces) == 1
    assert {len(v["shapes"]) for v in block["views"]} == {8}


def test_runs_that_kept_no_views_show_their_exported_shapes(make):
    import trimesh

    folder = make.run(make.root / "old")
    (folder / "media" / "test_views.npz").unlink()
    (folder / "media" / "test").mkdir()
    points = np.random.default_rng(0).random((50, 3))
    trimesh.PointCloud(points).export(folder / "media" / "test" / "chair-0000_view01.ply")
    views, note = views_of(gather([folder]).runs[0])
    assert (list(views), note) == ([("test", "chair-0000", 1)], "")
    view = views["test", "chair-0000", 1]
    assert (view.category, view.image, view.truth) == ("chair", None, None)
    np.testing.assert_allclose(view.vertices, points * [1, -1, -1], atol=1e-5)


def test_scenes_without_points_have_their_own_scores_and_are_brought_to_the_middle(make):
    """Depth of scenes: no n against m, metres from the camera, scores of another table."""
    metrics = {"abs_rel": -1, "delta1": 1, "own_score": 1}
    for seed, loss in enumerate(("l1", "silog")):
        folder = make.run(make.root / loss, model="depth", loss=loss, seed=seed, metrics=metrics)
        results = json.loads((folder / "results.json").read_text())
        results["counts"] |= {"m": None}
        results["data"] = {"name": "rooms", "unit": "m"}
        results["references"] = {}
        (folder / "results.json").write_text(json.dumps(results))
        path = folder / "media" / "test_views.npz"
        with np.load(path) as kept:
            arrays = {name: kept[name] for name in kept.files}
        for name in ("truth", "vertices"):
            arrays[name] = (arrays[name].astype(np.float32) * 3 + [0, 0, 6]).astype(np.float16)
        np.savez_compressed(path, **arrays)
    contents, path = report(config([make.root]))
    (block,) = contents.blocks
    assert block.title == "rooms"
    assert block.splits[0].best["abs_rel"] != []
    text = path.read_text()
    assert "| AbsRel " in text
    assert "own_score" not in text  # of a table that nobody closes with: in the page, folded, and in the CSV
    data, _ = page_data(contents)
    assert data["more"] == ["delta1"]
    for view in data["blocks"][0]["views"]:
        for (place,) in (view["truth"], *view["shapes"].values()):
            points = np.frombuffer(base64.b64decode(data["pool"][place]), "<i2").reshape(-1, 3) / 8192
            assert np.abs(np.median(points, axis=0)).max() < 0.2
            assert 0.3 < np.quantile(np.abs(points), 0.99) < 0.8
    for form in ("html", "csv", "png"):
        report(config([make.root], form))


# --- formats ----------------------------------------------------------------------------------------------------------


def test_markdown_has_scores_gains_and_point_sets(sweep, tmp_path):
    report(config([sweep], output=str(tmp_path / "r.md")))
    text = (tmp_path / "r.md").read_text()
    for wanted in ("| pointset, emd ", "**", "Gain over pointset, cd", "Free point sets: circle", "By category"):
        assert wanted in text
    for table in text.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") - line.count("\\|") for line in rows}) <= 1


def test_csv_is_tidy(sweep, tmp_path):
    report(config([sweep], "csv", output=str(tmp_path)))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text())))
    (row,) = [r for r in rows if (r["setting"], r["score"], r["category"]) == ("pointset, emd", "emd", "")
              and r["data"].startswith("grammar")]  # fmt: skip
    assert float(row["gain"]) > 0
    assert float(row["low"]) < float(row["gain"]) < float(row["high"])
    assert (row["runs"], row["images"], row["objects"], row["best"]) == ("2", "40", "20", "0")
    assert {r["category"] for r in rows} == {"", "chair", "table", "lamp", "car", "mug"}
    assert [r["mean"] for r in rows if r["score"] == "expected cd"] == ["0.0105"]


def test_the_figure_has_a_row_for_each_table_and_family(sweep, tmp_path):
    report(config([sweep], "png", output=str(tmp_path / "r.png")))
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.width > 1200
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    thirds = np.array_split(pixels, 3, axis=1)
    assert all((third.max(2) - third.min(2) > 60).mean() > 0.0005 for third in thirds)  # colour in each column


def test_the_page_is_one_file_and_says_nothing_of_this_machine(sweep, tmp_path):
    _, path = report(config([sweep], "html", output=str(tmp_path / "r.html")))
    text = path.read_text()
    assert text.count("plotly.js v") == 1
    assert not [w for w in ('src="http', "<link", "import(") if w in text.split("plotly.js v")[0]]
    assert str(sweep) not in text
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(sweep, tmp_path, monkeypatch):
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
def test_mistakes_are_sentences(sweep, changes, sentence):
    with pytest.raises(UserError) as caught:
        report(config([sweep]) | changes)
    assert sentence in str(caught.value)


def test_a_pattern_names_runs(sweep, tmp_path):
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
