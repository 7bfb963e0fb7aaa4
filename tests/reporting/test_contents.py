"""What a report finds in run folders: settings and tables, of whole, foreign and damaged folders."""

import json

import numpy as np
import pytest

from lit3d.errors import UserError
from lit3d.reporting.contents import curve, gather
from lit3d.reporting.folders import natural
from lit3d.reporting.words import headlines
from lit3d.reporting.write import report

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


def test_only_images_that_both_have_are_compared(config, make):
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
def test_a_folder_that_cannot_be_used_is_named_with_its_reason(config, make, how, reason):
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
def test_a_damaged_part_is_noted_and_the_rest_is_used(config, make, how, note):
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
