"""Every encoder, head and schedule by config alone: mixed precision, clipping, averaged weights, random vectors."""

import csv
import importlib.util
from pathlib import Path

import pytest
import torch

from lit3d.build import instantiate, load_module, plain
from lit3d.callbacks import AveragedWeights, Media
from lit3d.config import compose, groups
from lit3d.errors import UserError
from lit3d.training import train

spec = importlib.util.spec_from_file_location("backbones", Path(__file__).parent / "networks" / "backbones.py")
backbones = importlib.util.module_from_spec(spec)
spec.loader.exec_module(backbones)

ENCODERS = [path.stem for path in groups()["model/encoder"]]
HEADS = [path.stem for path in groups()["model/head"]]
QUIET = ("debug=tiny", "callbacks.media=null", "callbacks.results.references=false")


@pytest.fixture
def run(datasets, tmp_path):
    def one(*overrides, folder=tmp_path):
        train(compose("run", [*QUIET, f"paths.data={datasets}", f"paths.output={folder}", *overrides]))
        return folder

    return one


def pairs():
    """Each encoder and each head at least once, each encoder with two heads."""
    for i, encoder in enumerate(ENCODERS):
        slow = [pytest.mark.slow] if encoder == "resnet50" else []  # as long as all others together
        yield pytest.param(encoder, HEADS[i % len(HEADS)], marks=slow)
        if encoder != "resnet50":
            yield encoder, HEADS[(i + 2) % len(HEADS)]


@pytest.mark.parametrize(("encoder", "head"), list(pairs()))
def test_mixed_precision_clipping_and_loading_again(run, monkeypatch, tmp_path, encoder, head):
    overrides = [f"model/encoder={encoder}", f"model/head={head}", "trainer.precision=bf16-mixed",
                 "trainer.gradient_clip_val=0.05", "trainer.max_steps=2", "test=false"]  # fmt: skip
    if encoder == "hub":
        backbones.write_dinov2(tmp_path / "source")
        overrides += [f"model.encoder.source={tmp_path}/source", "model.encoder.stages=[1,2,3]"]
    norms = []
    clip = torch.nn.utils.clip_grad_norm_

    def noted(parameters, limit):
        parameters = list(parameters)
        clip(parameters, limit)
        norms.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()))

    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", noted)
    folder = run(*overrides)
    assert len(norms) == 2
    assert 0 < max(norms) < 0.051
    if encoder == "hub":  # a checkpoint needs its source no more
        (tmp_path / "source").rename(tmp_path / "gone")
    monkeypatch.setattr("lit3d.networks.encoders.efficientnet.stored_weights", lambda: pytest.fail("not needed"))
    module = load_module(folder / "checkpoints" / "last.ckpt")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        points = module({"image": torch.rand(1, 3, 64, 64)}).points
    assert points.shape == (1, 256, 3)
    assert points.dtype == torch.float32
    assert points.isfinite().all()


def test_a_backbone_without_a_source_is_asked_for(run):
    with pytest.raises(UserError, match=r"give model\.encoder\.source=\.\.\. on the command line"):
        run("model/encoder=hub")


def test_squares_only_is_said(run):
    with pytest.raises(UserError, match="pictures are square"):
        run("model/encoder=paper", "data.synthesis.image_size=[192,256]")


# --- learning rates ---------------------------------------------------------------------------------------------------


def rates(name, steps, *overrides):
    config = plain(compose("run", [f"model/scheduler={name}", "paths.output=x", *overrides]))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = instantiate(config["model"]["scheduler"], _partial_=True)(optimizer, total_steps=steps)
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return torch.tensor(found)


def test_schedules_have_the_shape_that_their_name_says():
    position = torch.arange(100)
    cosine = 1 + torch.cos(torch.pi * position / 100)
    torch.testing.assert_close(rates("cosine", 100), cosine)
    assert rates("constant", 100).unique().tolist() == [2.0]
    falls = rates("step", 100)
    torch.testing.assert_close(falls[[0, 59, 60, 84, 85, 99]], torch.tensor([2, 2, 0.2, 0.2, 0.02, 0.02]))
    cycle = rates("one_cycle", 100)
    assert int(cycle.argmax()) == 29
    assert float(cycle.max()) == pytest.approx(2)
    assert float(cycle[0]) == pytest.approx(2 / 25)
    assert float(cycle[-1]) < 1e-4
    warm = rates("warmup_cosine", 100)
    torch.testing.assert_close(warm[:5], torch.tensor([0.4, 0.8, 1.2, 1.6, 2.0]))
    assert float(warm[-1]) < 0.03


@pytest.mark.parametrize(
    ("name", "override"),
    [("step", "model.scheduler.at=[2]"), ("one_cycle", "model.scheduler.rising=7"),
     ("warmup_cosine", "model.scheduler.warmup=1")],
)  # fmt: skip
def test_shares_that_are_none(name, override):
    with pytest.raises(UserError, match="of the steps"):
        rates(name, 10, override)


@pytest.mark.parametrize("name", [path.stem for path in groups()["model/scheduler"]])
def test_every_schedule_trains(run, name):
    folder = run(f"model/scheduler={name}", "trainer.max_steps=3", "test=false")
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 3


# --- averaged weights -------------------------------------------------------------------------------------------------


def test_the_average_is_that_of_the_formula():
    import pytorch_lightning as pl

    class Walk(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1, bias=False)

    callback, module = AveragedWeights(decay=0.6), Walk()
    callback.setup(None, module, "fit")
    expected = None
    for t, value in enumerate([1.0, 5.0, -2.0, 7.0, 3.0, 9.0, 2.0, 8.0]):
        module.layer.weight.data.fill_(value)
        callback._average_model.update_parameters(module)
        decay = min(0.6, (1 + t) / (10 + t))
        expected = value if t == 0 else decay * expected + (1 - decay) * value
        assert float(callback._average_model.module.layer.weight.detach()) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UserError, match=r"callbacks\.average\.decay"):
        AveragedWeights(decay=1)


def test_validation_pictures_best_and_test_use_the_average(datasets, monkeypatch, tmp_path):
    from lit3d.modules.base import ReconstructionModule

    seen = {"validation": [], "picture": [], "training": [], "test": []}

    def weights(module):
        return module.network.head.to_points.weight.detach().clone()

    def noting(cls, method, name, which):
        real = getattr(cls, method)

        def noted(self, *arguments, **more):
            seen[name].append(weights(which(self, *arguments)))
            return real(self, *arguments, **more)

        monkeypatch.setattr(cls, method, noted)

    noting(ReconstructionModule, "validation_step", "validation", lambda self, *_: self)
    noting(ReconstructionModule, "training_step", "training", lambda self, *_: self)
    noting(ReconstructionModule, "test_step", "test", lambda self, *_: self)
    noting(Media, "on_validation_end", "picture", lambda self, trainer, module: module)
    overrides = ["debug=tiny", "callbacks=ema", "callbacks.average.decay=0.5", "callbacks.results.references=false"]
    train(compose("run", [*overrides, f"paths.data={datasets}", f"paths.output={tmp_path}"]))
    best, last = (torch.load(tmp_path / "checkpoints" / f"{n}.ckpt", weights_only=True) for n in ("best", "last"))
    name = "network.head.to_points.weight"
    first, second = seen["validation"][0], seen["validation"][-1]
    assert torch.equal(seen["picture"][0], first)
    assert torch.equal(seen["picture"][1], second)
    assert any(torch.equal(best["state_dict"][name], w) for w in (first, second))
    assert torch.equal(seen["test"][0], best["state_dict"][name])
    assert not any(torch.equal(first, w) for w in seen["training"])  # the average is no step's weights
    assert not torch.equal(best["state_dict"][name], best["current_model_state"][name])
    assert torch.equal(load_module(tmp_path / "checkpoints" / "best.ckpt").state_dict()[name], best["state_dict"][name])
    assert set(last["state_dict"]) == set(best["state_dict"])


def test_a_resumed_run_goes_on_with_weights_and_average(run, monkeypatch, tmp_path):
    from lit3d.modules.base import ReconstructionModule

    options = ("callbacks=ema", "callbacks.media=null", "callbacks.average.decay=0.7", "callbacks.last.every=2",
               "test=false", "trainer.max_steps=7", "model/scheduler=one_cycle", "model.noise=4")  # fmt: skip
    whole = run(*options, folder=tmp_path / "whole")
    real = ReconstructionModule.training_step

    def cut(self, batch, batch_idx):
        if self.global_step == 5:
            raise KeyboardInterrupt
        return real(self, batch, batch_idx)

    monkeypatch.setattr(ReconstructionModule, "training_step", cut)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(*options, folder=tmp_path / "runs" / "a")
    monkeypatch.setattr(ReconstructionModule, "training_step", real)
    with pytest.raises(UserError, match=r"has an average of its weights, and this config none.*callbacks=ema"):
        run(*options[3:], "resume=last", folder=tmp_path / "runs" / "b")
    run(*options, "resume=last", folder=tmp_path / "runs" / "b")
    ours, theirs = (
        torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (tmp_path / "runs" / "a", whole)
    )
    for part in ("state_dict", "averaging_state"):
        assert all(torch.equal(ours[part][k], v) for k, v in theirs[part].items())
    tables = [list(csv.DictReader((f / "metrics.csv").open())) for f in (tmp_path / "runs" / "a", whole)]
    assert [{k: v for k, v in row.items() if k != "epoch"} for row in tables[0]] == [
        {k: v for k, v in row.items() if k != "epoch"} for row in tables[1]
    ]


# --- random vectors ---------------------------------------------------------------------------------------------------


def test_a_network_with_a_random_vector_gives_the_same_answers_each_time(run):
    folder = run("model.noise=8", "model/head=two_branch", "test=false", "trainer.max_steps=2")
    module = load_module(folder / "checkpoints" / "last.ckpt")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(module({"image": image}).points, module({"image": image}).points)
        answers = module.network.hypotheses(image, 3)
    assert answers.shape == (1, 3, 256, 3)
    assert not torch.equal(answers[:, 0], answers[:, 1])
