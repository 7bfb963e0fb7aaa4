"""Several answers to one image through a whole run: training, scores, the closing table, what is refused."""

import csv
import json

import pytest
import torch

from lit3d.build import instantiate, load_module
from lit3d.callbacks.views import prediction_grid
from lit3d.config import compose
from lit3d.data.views import ViewDataset
from lit3d.errors import UserError
from lit3d.metrics import SetMetrics
from lit3d.structures import PointSet
from lit3d.training import train

QUICK = ("debug=tiny", "callbacks.media=null", "callbacks.results.references=false")


@pytest.fixture
def run(datasets, tmp_path):
    def one(*overrides, folder=tmp_path / "run"):
        train(compose("run", [*QUICK, f"paths.data={datasets}", f"paths.output={folder}", *overrides]))
        return folder

    return one


@pytest.fixture
def posterior(monkeypatch):
    """Samples that know all true shapes: the truth, and the truth beside itself; a third value is padding."""
    real = ViewDataset.__getitem__

    def with_posterior(self, item):
        sample = real(self, item)
        points = sample["points"][:256]
        modes = [points, points + torch.tensor([9.0, 0, 0]), torch.full_like(points, torch.nan)]
        return sample | {"posterior": torch.tensor([0.5, 0.5, 0.0]), "posterior_points": torch.stack(modes)}

    monkeypatch.setattr(ViewDataset, "__getitem__", with_posterior)


def test_a_run_with_several_hypotheses(run, posterior, capsys):
    folder = run("model.hypotheses=3", "loss=cd_emd", "metrics.answers=4")
    scores = json.loads((folder / "results.json").read_text())["test"]
    for name in ("emd", "chamfer_l1"):
        assert scores[f"best_of_4/{name}"] < scores[name]
        assert scores[f"best_of_4/{name}"] < scores[f"mean_of_4/{name}"]
    assert scores["best_of_4/fscore_5pct"] > scores["fscore_5pct"]
    assert scores["diversity"] > 0
    assert (scores["modes_covered"], scores["all_modes_covered"]) == (0.5, 0)  # nothing is predicted nine units away
    assert scores["answers_on_modes"] == 1
    assert scores["mode_distance"] == pytest.approx(9, abs=1e-3)
    rows = list(csv.DictReader((folder / "per_sample.csv").open()))
    assert {"best_of_4/emd", "mean_of_4/emd", "diversity", "modes_covered"} <= set(rows[0])
    printed = capsys.readouterr().out
    assert "best of 4 answers" in printed
    assert "modes covered 50.0%" in printed
    saved = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert any("'monitor': 'val/loss'" in name for name in saved["callbacks"])
    module = load_module(folder / "checkpoints" / "best.ckpt")
    assert (module.network.drawn, module.network.noise) == (3, 16)
    data = instantiate(module.config["data"])
    assert prediction_grid(module, data.preview(), size=20).width == (5 + 3) * 26 + 6  # three further answers


def test_one_answer_is_scored_against_the_posterior_and_nothing_else_is_new(run, posterior):
    scores = json.loads((run() / "results.json").read_text())["test"]
    assert scores["modes_covered"] == 0.5
    assert not [k for k in scores if "_of_" in k or k == "diversity"]


def test_training_draws_anew_and_ends_with_the_same_weights_each_time(run, tmp_path):
    options = ("model.hypotheses=2", "test=false", "trainer.max_steps=3")
    first, second, one = (
        torch.load(run(*options, *more, folder=tmp_path / name) / "checkpoints" / "last.ckpt", weights_only=True)
        for name, more in (("a", ()), ("b", ()), ("c", ("model.hypotheses=1", "model.noise=16")))
    )
    assert all(torch.equal(v, second["state_dict"][k]) for k, v in first["state_dict"].items())
    assert first["state_dict"].keys() == one["state_dict"].keys()
    assert not all(torch.equal(v, one["state_dict"][k]) for k, v in first["state_dict"].items())


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.noise=0", r"model\.hypotheses=2 answers differ by a random vector"),
        ("model.hypotheses=0", r"model\.hypotheses is the number of answers in training, at least 1, got 0"),
        ("metrics.answers=0", r"metrics\.answers and mode_points must be at least 1, got 0 and 1024"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_anything_starts(run, override, sentence):
    with pytest.raises(UserError, match=sentence):
        run("model.hypotheses=2", override)


def test_scores_of_each_answer_are_those_that_it_would_get_alone():
    draw = torch.Generator().manual_seed(0)
    answers, truth = torch.rand(2, 3, 40, 3, generator=draw), torch.rand(2, 60, 3, generator=draw)
    answers[1, 2, 0] = torch.nan
    metrics = SetMetrics(points=30, answers=3)  # fewer than there are: a farthest-point subset
    scores = metrics(PointSet(answers[:, 0], hypotheses=answers), {"points": truth}, final=True)
    alone = [metrics(PointSet(a), {"points": truth}, final=True) for a in answers.unbind(1)]
    for name in ("emd", "chamfer_l2sq", "fscore_5pct", "failure"):
        values = torch.stack([one[name] for one in alone], 1)
        torch.testing.assert_close(scores[f"mean_of_3/{name}"], values.mean(1))
        best = values.amax(1) if name == "fscore_5pct" else values.amin(1)
        torch.testing.assert_close(scores[f"best_of_3/{name}"], best)
    assert {k: v.tolist() for k, v in scores.items() if k in alone[0]} == {k: v.tolist() for k, v in alone[0].items()}
    in_validation = metrics(PointSet(answers[:, 0], hypotheses=answers), {"points": truth}, final=False)
    assert not [name for name in in_validation if "_of_" in name]


def test_an_empty_prediction_covers_nothing():
    batch = {"points": torch.rand(1, 8, 3), "posterior": torch.ones(1, 1), "posterior_points": torch.rand(1, 1, 8, 3)}
    scores = SetMetrics(points=8)(PointSet(torch.zeros(1, 0, 3)), batch, final=True)
    assert (float(scores["failure"]), float(scores["modes_covered"])) == (1, 0)
