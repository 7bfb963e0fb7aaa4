"""Scoring without training: the same numbers as a run's test, from a checkpoint and from files of other software."""

import csv
import json
import math
import sys

import numpy as np
import pytest
import torch
import trimesh
from torch.utils.data import default_collate

from lit3d import metrics
from lit3d.build import instantiate, load_module
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.evaluation import evaluate
from lit3d.structures import PointSet
from lit3d.training import train

SAME = ("test", "test_by_class", "test_mean_over_classes", "test_coverage", "test_failures", "references",
        "test_gap_closed", "test_beats_retrieval", "counts", "parameters", "model", "loss", "data", "seed")  # fmt: skip


@pytest.fixture(scope="module")
def finished(datasets, tmp_path_factory):
    """The folder of a tiny run with its test."""
    folder = tmp_path_factory.mktemp("finished")
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={folder}", "callbacks.media=null"]
    overrides += ["trainer.precision=32-true"]  # predictions are exported without a trainer, so in float32
    train(compose("run", [*overrides, "trainer.max_steps=3", "metrics.protocols=[occnet]"]))
    return folder


@pytest.fixture(scope="module")
def checkpoint(finished):
    return finished / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def samples(checkpoint):
    """The test samples of the run by (object, view), and what the network predicts for each."""
    module = load_module(checkpoint)
    data = instantiate(module.config["data"], seed=0)
    data.setup()
    found = {}
    for sample in data.dataset("test"):
        with torch.inference_mode():
            found[sample["object"], sample["view"]] = sample, module(default_collate([sample])).points[0].numpy()
    return data, found


@pytest.fixture
def score(tmp_path):
    """Evaluate with overrides; the results and the folder."""

    def one(*overrides):
        folder = tmp_path / "scored"
        evaluate(compose("evaluate", [f"paths.output={folder}", "callbacks.media=null", *overrides]))
        return json.loads((folder / "results.json").read_text()), folder

    return one


@pytest.fixture
def score_files(score, samples, tmp_path):
    """Evaluate the folder `preds` of the test on the run's test views."""
    given = [f"predictions={tmp_path / 'preds'}", f"data.root={samples[0].root}", "data.test_points=512"]
    given += ["data.test_views=1", "metrics.points=256"]
    return lambda *more, rows="false": score(*given, f"callbacks.results.references={rows}", *more)


def fill(folder, sets, write, name="{0}_{1}"):
    for key, points in sets.items():
        path = folder / name.format(*key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, points)


def as_ply(path, points):
    trimesh.PointCloud(points).export(path.with_name(f"{path.name}.ply"))


def as_text_ply(path, points):
    lines = "\n".join(" ".join(f"{x:.9g}" for x in p) for p in points)
    head = "".join(f"property double {axis}\n" for axis in "xyz")
    text = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n{head}end_header\n{lines}\n"
    path.with_name(f"{path.name}.PLY").write_text(text)


def as_obj(path, points):
    path.with_name(f"{path.name}.obj").write_text("\n".join("v " + " ".join(f"{x:.9g}" for x in p) for p in points))


def as_npz(path, points):
    np.savez(path.with_name(f"{path.name}.npz"), points=points)


def rows_of(folder, name):
    with (folder / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- a checkpoint -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_scores_exactly_as_its_run_did(finished, checkpoint, tmp_path, capsys):
    evaluate(compose("evaluate", [f"paths.output={tmp_path}", f"checkpoint={checkpoint}"]))
    before, now = (json.loads((folder / "results.json").read_text()) for folder in (finished, tmp_path))
    assert {k: now[k] for k in SAME} == {k: before[k] for k in SAME}
    assert (tmp_path / "per_sample.csv").read_text() == (finished / "per_sample.csv").read_text()
    assert now["steps"] == 3
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "finished"
    assert (tmp_path / "media" / "test.png").is_file()
    said = capsys.readouterr().out
    assert "test: 256 points against 512" in said
    assert "retrieval by pixels" in said
    assert "Protocols  occnet" in said


def test_protocols_radii_and_split_are_those_that_are_asked_for(checkpoint, score):
    results, _ = score(f"checkpoint={checkpoint}", "protocol=all", "split=val", "metrics.percents=[3]")
    assert {key.split("/")[0] for key in results["val"] if "/" in key} == set(metrics.PROTOCOLS)
    assert results["references"]["val"]["truth_resampled"]["mean"]["fscore_3pct"] > results["val"]["fscore_3pct"]
    assert "test" not in results


def test_a_dataset_that_moved_is_found_under_paths_data_and_precision_is_the_runs(checkpoint, score, samples, tmp_path):
    root = samples[0].root
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / root.name).symlink_to(root)
    saved = torch.load(checkpoint, weights_only=True)
    saved["lit3d"]["config"]["data"]["root"] = f"gone/{root.name}"
    saved["lit3d"]["config"]["precision"] = "bf16-mixed"
    torch.save(saved, tmp_path / "a.ckpt")
    results, folder = score(f"checkpoint={tmp_path / 'a.ckpt'}", f"paths.data={tmp_path / 'moved'}")
    assert results["counts"]["images"] == 4
    assert "precision: bf16-mixed" in (folder / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.frame=object"], "trained with data.frame=viewer, but this data has object: add data.frame=viewer"),
        (["data.synthesis.image_size=32"], "images of 64 x 64 pixels, but this data has 32 x 32"),
        (["data=grammar", "data.frame=object"], "add data.frame=viewer"),
        (["data=folder"], "data=folder needs a value for data.source.root"),
        (["split=train"], "split must be one of test, test_authors, val, got 'train'"),
        (["split=test_authors"], "has no such objects"),
        (["protocol=occ"], "metrics.protocols names occ"),
        (["metrics.points=1000"], "but data.test_points is 512"),
        (["predictions=x"], "give either checkpoint=FILE or predictions=FOLDER"),
    ],
)
def test_what_does_not_fit_a_checkpoint_is_one_sentence(checkpoint, score, tmp_path, overrides, sentence):
    with pytest.raises(UserError) as caught:
        score(f"checkpoint={checkpoint}", *overrides)
    assert sentence in str(caught.value)
    status = json.loads((tmp_path / "scored" / "status.json").read_text())
    assert status["status"] == "failed"
    assert not (tmp_path / "scored" / "results.json").exists()


def tamper(saved, what):
    config = saved["lit3d"]["config"]
    if what == "version":
        saved["lit3d"]["format"] = 0
    elif what == "model":
        config["model"]["points"] = config["model"]["network"]["points"] = 128
    elif what == "halved":
        del saved["global_step"]
    elif what == "no model":
        del config["model"]
    elif what == "network":
        config["model"]["network"]["_target_"] = "mypkg.Net"
    elif what == "source":
        config["data"]["source"]["_target_"] = "os.system"
    saved["lit3d"]["config"] = config | {"lit3d": {"trust": ["mypkg", "os"]}}
    return saved


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("version", "is no checkpoint of this version of lit3d: format 1 is expected, 0 found"),
        ("model", "the weights do not fit the config stored with them: Error(s) in loading state_dict"),
        ("halved", "is no whole checkpoint of lit3d: it has no 'global_step'"),
        ("no model", "is no whole checkpoint of lit3d: it has no 'model'"),
        ("network", "names the code 'mypkg.Net', which configs may not run"),
        ("source", "names the code 'os.system', which configs may not run"),
    ],
)
def test_a_checkpoint_of_another_kind_or_with_foreign_code_is_refused(checkpoint, score, tmp_path, what, sentence):
    path = tmp_path / "other.ckpt"
    torch.save(tamper(torch.load(checkpoint, weights_only=True), what), path)
    with pytest.raises(UserError) as caught:
        score(f"checkpoint={path}")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


# --- files of other software ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "name"),
    [(as_ply, "{0}_{1}"), (as_text_ply, "{0}/{1:03d}"), (as_obj, "{0}_{1}"), (as_npz, "{0}/{1}")],
)
def test_predictions_of_a_network_score_alike_from_every_format(finished, samples, score_files, tmp_path, write, name):
    fill(tmp_path / "preds", {key: points for key, (_, points) in samples[1].items()}, write, name)
    results, folder = score_files("protocol=occnet", rows="true")
    before = json.loads((finished / "results.json").read_text())
    assert results["test"] == pytest.approx(before["test"], rel=1e-5)
    for row in before["references"].values():
        row.pop("retrieval_by_features")  # needs the network's own features
    assert results["references"] == before["references"]
    assert (results["model"], results["counts"]["given"]["fewer"]) == ("preds", 0)
    assert [row["kind"] for row in rows_of(folder, "predictions.csv")] == ["points"] * 4


def test_the_truth_as_prediction_scores_as_the_row_truth_resampled(samples, score_files, tmp_path):
    sets = {key: sample["spare_points"][:256].numpy() for key, (sample, _) in samples[1].items()}
    fill(tmp_path / "preds", sets, as_npz)
    results, _ = score_files(rows="true")
    assert results["test"] == results["references"]["test"]["truth_resampled"]["mean"] | {"failure": 0.0}


@pytest.mark.parametrize("kind", ["ply", "obj", "npz"])
def test_a_mesh_is_sampled_uniformly_by_area(samples, score_files, tmp_path, kind):
    """Against trimesh's own sampling of the same box, drawn anew."""
    box = trimesh.creation.box(extents=(0.9, 0.3, 0.5))
    folder = tmp_path / "preds"
    folder.mkdir()
    for name, view in samples[1]:
        path = folder / f"{name}_{view}.{kind}"
        np.savez(path, points=box.vertices, faces=box.faces) if kind == "npz" else box.export(path)
    results, scored = score_files()
    truth = torch.stack([sample["points"] for sample, _ in samples[1].values()])
    drawn = [trimesh.sample.sample_surface(box, 20_000, seed=i)[0] for i in range(4)]
    expected = metrics.score_points(torch.tensor(np.stack(drawn), dtype=torch.float32), truth)
    for name, slack in (("precision_5pct", 0.05), ("chamfer_l1", 0.01)):
        assert results["test"][name] == pytest.approx(float(expected[name].mean()), abs=slack)
    assert {(row["kind"], row["size"], row["scored"]) for row in rows_of(scored, "predictions.csv")} == {
        ("mesh", "12", "256")
    }


def test_more_points_are_subset_and_fewer_scored_as_they_are_with_their_count(samples, score_files, tmp_path, capsys):
    keys, sizes = list(samples[1]), (100, 256, 400, 100)
    sets = {key: torch.rand(size, 3).numpy() - 0.5 for key, size in zip(keys, sizes, strict=True)}
    fill(tmp_path / "preds", sets, as_npz)
    results, folder = score_files("callbacks.media={_target_: lit3d.callbacks.Media, folder: ${paths.output}}")
    scorer = metrics.SetMetrics(points=256)
    rows = {(row["object"], int(row["view"])): row for row in rows_of(folder, "per_sample.csv")}
    for key, points in sets.items():
        alone = scorer(PointSet(torch.from_numpy(points)[None]), default_collate([samples[1][key][0]]), final=True)
        assert {k: float(rows[key][k]) for k in alone} == pytest.approx({k: float(v) for k, v in alone.items()}, 1e-4)
    assert results["counts"]["given"] == {"least": 100, "most": 256, "fewer": 2, "sets": 4}
    assert "2 of 4 predictions have fewer than 256 points (100 to 256)" in " ".join(capsys.readouterr().out.split())
    assert (folder / "media" / "test.png").is_file()


def test_missing_and_unusable_predictions_are_counted_with_the_worst_score(samples, score_files, tmp_path, capsys):
    (first, good), (second, _), (third, nan), _ = [(key, points.copy()) for key, (_, points) in samples[1].items()]
    nan[7, 1] = np.nan
    fill(tmp_path / "preds", {first: good, third: nan}, as_npz)
    (tmp_path / "preds" / "{}_{}.ply".format(*second)).write_bytes(b"ply\nnot really")
    results, folder = score_files()
    assert (results["test_failures"], results["test_coverage"]) == (3, 0.25)
    rows = rows_of(folder, "per_sample.csv")
    assert [float(row["failure"]) for row in rows] == [0, 1, 1, 1]
    worst = {k: float(rows[3][k]) for k in ("fscore_5pct", "chamfer_l1", "chamfer_l2sq", "emd")}
    assert worst == pytest.approx({"fscore_5pct": 0, "chamfer_l1": math.sqrt(3), "chamfer_l2sq": 6,
                                   "emd": math.sqrt(3)}, rel=1e-4)  # fmt: skip
    reasons = [row["failure"] for row in rows_of(folder, "predictions.csv")]
    assert reasons[0] == ""
    assert reasons[1].startswith("cannot be read")
    assert reasons[2:] == ["a coordinate is NaN or infinite", "missing"]
    said = " ".join(capsys.readouterr().out.split())
    assert "failures 3, coverage 25.0%" in said
    assert "1 predictions are missing and 2 cannot be scored" in said


def test_another_unit_is_noticed(samples, score_files, tmp_path):
    fill(tmp_path / "preds", {key: 40 * points for key, (_, points) in samples[1].items()}, as_npz)
    results, _ = score_files()
    assert "in units of the object's longest side?" in results["notes"][0]


def test_mistakes_end_with_exit_code_2_and_a_sentence(monkeypatch, tmp_path, capsys):
    from lit3d.evaluate import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    (tmp_path / "preds").mkdir()
    for argument, sentence in (
        ("predictions=preds", "predictions=preds holds no file"),
        ("checkpoint=a.ckpt", "there is no checkpoint a.ckpt"),
        ("chekpoint=a.ckpt", "Did you mean 'checkpoint'"),
    ):
        monkeypatch.setattr(sys, "argv", ["evaluate", argument])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        assert sentence in capsys.readouterr().err
