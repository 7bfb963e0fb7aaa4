"""Runs in this process, on one tiny dataset: every model with every loss, the run folder, and what goes wrong."""

import csv
import json

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lit3d import trust
from lit3d.build import build_terms, fitting_losses, load_module, plain
from lit3d.config import compose, groups
from lit3d.errors import UserError
from lit3d.losses import check_terms
from lit3d.structures import PointSet
from lit3d.summary import NAMES
from lit3d.training import train

OPTIONS = {"mesh_deform": ["model.template.level=1"], "depth": ["model.normals=true"]}  # small, and all heads
NEEDED = {"sdf": ["model.field=sdf"]}  # by a loss
LOSSES = [path.stem for path in groups()["loss"]]
# What each model predicts, read from its file: no network is built to collect tests.
MODELS = {p.stem: trust.locate(OmegaConf.load(p).model.network._target_).predicts for p in groups()["model"]}
FITTING = [(model, loss) for model, structure in MODELS.items() for loss in fitting_losses(structure.tensors)]
SCORES = {
    "chamfer_l1",
    "chamfer_l2sq",
    "emd",
    "fscore_1pct",
    "fscore_2pct",
    "fscore_5pct",
    "precision_5pct",
    "recall_5pct",
}


@pytest.fixture
def run(datasets, tmp_path):
    def one(*overrides):
        train(compose("run", ["debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path}", *overrides]))
        return tmp_path

    return one


@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_and_is_scored(run, model):
    folder = run(f"model={model}", "callbacks.media=null", *OPTIONS.get(model, []))
    results = json.loads((folder / "results.json").read_text())
    assert set(results["test"]) >= SCORES
    assert results["test_failures"] == 0
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(("model", "loss"), FITTING)
def test_every_model_trains_with_every_loss_that_fits(run, model, loss):
    parts = [f"model={model}", f"loss={loss}", *OPTIONS.get(model, []), *NEEDED.get(loss, [])]
    few = ["trainer.max_steps=2", "model.optimizer.lr=1e-3"]  # too few for the warm-up that a higher rate needs
    folder = run(*parts, *few, "callbacks.media=null", "test=false")
    with (folder / "metrics.csv").open() as stream:
        losses = [float(row["train/loss"]) for row in csv.DictReader(stream) if row["train/loss"]]
    assert len(losses) == 2
    assert all(0 < loss < 10 for loss in losses)


@pytest.mark.parametrize("model", MODELS)
def test_every_other_loss_is_refused_with_those_that_fit(model):
    fitting = [loss for name, loss in FITTING if name == model]
    others = [loss for loss in LOSSES if loss not in fitting]
    assert fitting
    assert len(others) > 3
    terms = build_terms(plain(compose("run", [f"loss=[{','.join(others)}]", "paths.output=x"]))["loss"])
    assert {term.name for term in terms} == set(others) - {"cd_emd"}  # which is two of them
    for term in terms:
        with pytest.raises(UserError) as caught:
            check_terms([term], model, MODELS[model], fitting)
        said = str(caught.value)
        assert f"loss '{term.name}' reads '" in said
        assert f"but model '{model}' predicts {MODELS[model].reads_as}; losses that fit: {', '.join(fitting)}" in said


@pytest.mark.parametrize("head", [path.stem for path in groups()["model/head"] if path.stem != "fc"])
def test_every_head_trains_and_its_checkpoint_loads(run, head):
    folder = run(f"model/head={head}", "callbacks.media=null", "callbacks.results.references=false")
    module = load_module(folder / "checkpoints" / "last.ckpt")
    assert module.network.head.layout.branch.shape == (256,)
    assert json.loads((folder / "results.json").read_text())["test_failures"] == 0


def test_the_run_folder_holds_what_a_report_needs(run):
    folder = run()
    results = json.loads((folder / "results.json").read_text())
    assert set(results) >= {"test", "test_by_class", "test_mean_over_classes", "references", "counts", "seed", "system",
                            "test_coverage", "seconds", "steps"}  # fmt: skip
    assert list(results["references"]["test"]) == list(NAMES)
    for row in ("retrieval", "retrieval_by_features"):
        assert set(results[f"test_beats_{row}"]["emd"]) == {"mean", "low", "high"}
    assert results["test_gap_closed"]["fscore_5pct"] < 1
    assert (results["counts"]["n"], results["counts"]["m"]) == (256, 512)
    with (folder / "per_sample.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len({(r["object"], r["view"]) for r in rows}) == len(rows) == results["counts"]["images"]
    mean = sum(float(r["fscore_5pct"]) for r in rows) / len(rows)
    assert mean == pytest.approx(results["test"]["fscore_5pct"], abs=1e-5)
    with (folder / "metrics.csv").open() as stream:
        curves = list(csv.DictReader(stream))
    assert {"train/loss", "val/fscore_5pct"} <= set(curves[0])
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    with Image.open(folder / "media" / "test.png") as picture:
        assert picture.width > 800
    truth, mean_shape = (
        results["references"]["test"][k]["mean"]["fscore_5pct"] for k in ("truth_resampled", "mean_shape")
    )
    assert truth > mean_shape


def test_a_checkpoint_gives_back_the_module_that_was_trained(run):
    folder = run("loss=cd_emd", "loss.emd.weight=0.25")
    module = load_module(folder / "checkpoints" / "last.ckpt")
    assert [(t.name, t.weight) for t in module.terms] == [("cd", 1.0), ("emd", 0.25)]
    assert module.config["camera"]["distance"] > 1
    with torch.no_grad():
        assert module({"image": torch.rand(1, 3, 64, 64)}).points.shape == (1, 256, 3)


def test_two_runs_with_one_seed_agree_and_seeds_differ(run, tmp_path):
    def weights(*overrides):
        folder = run("test=false", "callbacks.media=null", *overrides)
        return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    first, second, other = weights("seed=1"), weights("seed=1"), weights("seed=2")
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["network.head.to_points.weight"], other["network.head.to_points.weight"])


def test_more_points_than_the_score_needs_are_subset_and_fewer_are_all_scored(run):
    results = json.loads((run("model.points=300", "callbacks.media=null") / "results.json").read_text())
    assert results["counts"]["n"] == 256


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["loss.cd.pred=depth"],
            "loss 'cd' reads 'depth', but model 'pointset' predicts points; losses that fit: cd, cd_emd, cd_l1, dcd,",
        ),
        (["model.points=0"], "model.points must be at least 1, got 0"),
        (["model.points=1024", "loss=emd_squared"], "loss 'emd_squared' pairs each predicted point with a true one"),
        (["model.points=1024", "loss=emd"], "set data.points=1024 or more"),
        (["loss.cd.weights=[0,0]"], "loss 'cd': weights must be two finite numbers of 0 or more"),
        (["loss=sinkhorn", "loss.sinkhorn.blur=0.0"], "loss 'sinkhorn': blur is a length"),
        (["data.synthesis.image_size=50"], "multiple of 16, but images are 50 x 50"),
        (["data.frame=world"], "data.frame must be one of viewer or object"),
        (["loss.cd.target=depths"], "a sample has no 'depths'"),
        (["data.test_points=5000"], "5000"),
        (["data.views=live"], "data.views must be stored or online"),
        (["metrics.points=0"], "at least 1"),
        (["model.network._target_=os.system"], "names the code 'os.system'"),
        (["seed=-1"], "seed"),
        (["trainer.max_steps=0"], "max_steps"),
    ],
)
def test_bad_combinations_stop_before_training_with_one_sentence(run, overrides, sentence, tmp_path):
    with pytest.raises(UserError) as caught:
        run(*overrides)
    assert sentence in str(caught.value)
    assert not (tmp_path / "checkpoints").exists()
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["status"] == "failed"
    assert sentence in status["reason"]


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_batch(run, monkeypatch, tmp_path):
    monkeypatch.setattr("lit3d.losses.point_sets.ops.chamfer", lambda x, y, **_: x.sum((1, 2)) * float("nan"))
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        run("callbacks.media=null")
    saved = torch.load(tmp_path / "bad_batch.ckpt", weights_only=True)
    assert saved["batch"]["image"].shape == (4, 3, 64, 64)
    assert {len(names) for k, names in saved["batch"].items() if k == "object"} == {4}
    monkeypatch.undo()
    module = load_module(tmp_path / "bad_batch.ckpt")  # the same network on the same batch, to look into
    assert module.objective(module(saved["batch"]), saved["batch"])[0].isfinite()


def test_checkpoints_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint"):
        load_module(tmp_path / "absent.ckpt")
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        load_module(broken)
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match="no checkpoint of this version"):
        load_module(tmp_path / "foreign.ckpt")


def test_losses_that_fit_are_read_from_the_files():
    assert {"cd", "emd", "cd_emd", "l2_ordered", "sinkhorn", "dcd"} <= set(fitting_losses(PointSet.tensors))


def test_wandb_offline_ends_with_its_job_even_when_the_job_fails(run, monkeypatch):
    """A run that stays open would be taken over by the next job of a sweep: the fixture of all tests looks for it."""
    import os
    import sys

    folder = run("logger=default", "callbacks.media=null")
    assert list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert sys.modules["wandb"].run is None
    assert "WANDB_MODE" not in os.environ
    monkeypatch.setattr("lit3d.losses.point_sets.ops.chamfer", lambda x, y, **_: x.sum((1, 2)) * float("nan"))
    with pytest.raises(FloatingPointError):
        run("logger=default", "callbacks.media=null")


def test_protocols_stand_in_both_files_and_beside_the_reference_rows(run):
    folder = run("metrics.protocols=[p2m,occnet]", "callbacks.media=null")
    results = json.loads((folder / "results.json").read_text())
    assert results["test"]["occnet/chamfer_l1"] == pytest.approx(10 * results["test"]["chamfer_l1"], rel=1e-4)
    row = results["references"]["test"]["truth_resampled"]["mean"]
    assert row["p2m/fscore_tau"] > results["test"]["p2m/fscore_tau"]
    with (folder / "per_sample.csv").open() as stream:
        assert {"p2m/fscore_2tau", "mean_shape/p2m/fscore_2tau"} <= set(next(csv.DictReader(stream)))
