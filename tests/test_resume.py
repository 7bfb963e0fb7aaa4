"""A run that was cut short goes on: same weights, same curves, same folder."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit3d.callbacks import LastCheckpoint, save_whole
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.training import train

# 12 training objects x 2 views in batches of 4 = 6 steps an epoch at most: cut in the middle of the second
QUIET = ("debug=tiny", "callbacks.media=null", "test=false", "trainer.max_steps=11", "callbacks.last.every=2")


def start(datasets, folder, *overrides):
    train(compose("run", [*QUIET, f"paths.data={datasets}", f"paths.output={folder}", *overrides]))


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def curves(folder):
    with (folder / "metrics.csv").open() as stream:
        return [{k: v for k, v in row.items() if k != "epoch"} for row in csv.DictReader(stream)]


def cut(monkeypatch, step):
    """Stop as Ctrl-C would, after a step that is no multiple of the checkpoint's interval."""
    from lit3d.modules.base import ReconstructionModule

    real = ReconstructionModule.training_step

    def training_step(self, batch, batch_idx):
        if self.global_step == step:
            raise KeyboardInterrupt
        return real(self, batch, batch_idx)

    monkeypatch.setattr(ReconstructionModule, "training_step", training_step)


@pytest.fixture(scope="module")
def whole(datasets, tmp_path_factory):
    """The same run without a break."""
    folder = tmp_path_factory.mktemp("whole")
    start(datasets, folder)
    return folder


def assert_same(folder, whole):
    ours, theirs = last(folder), last(whole)
    assert ours["global_step"] == theirs["global_step"] == 11
    assert all(torch.equal(ours["state_dict"][k], v) for k, v in theirs["state_dict"].items())
    assert curves(folder) == curves(whole)
    status = json.loads((folder / "status.json").read_text())
    assert (status["status"], status["resumed"]) == ("finished", True)


@pytest.mark.parametrize("step", [3, 5, 7, 9])
def test_a_run_cut_anywhere_ends_with_the_weights_and_curves_of_one_that_was_not(datasets, tmp_path, whole, step):
    folder = tmp_path / "a"
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, step)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            start(datasets, folder)
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"
    assert last(folder)["global_step"] == step - 1
    start(datasets, tmp_path / "b", "resume=last")
    assert_same(folder, whole)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_the_state_of_muon_goes_on_too(datasets, tmp_path):
    muon = "model/optimizer=muon"
    start(datasets, tmp_path / "whole", muon)
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, 7)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            start(datasets, tmp_path / "a", muon)
    start(datasets, tmp_path / "b", f"resume={tmp_path / 'a'}", muon)
    assert_same(tmp_path / "a", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_process_goes_on(datasets, tmp_path, whole, workers):
    folder = tmp_path / "killed"
    overrides = [*QUIET, f"paths.data={datasets}", f"paths.output={folder}", f"data.workers={workers}"]
    code = (
        "import os, signal, lit3d.modules.base as b, lit3d.training as t; from lit3d.config import compose\n"
        "real = b.ReconstructionModule.training_step\n"
        "def step(self, *a):\n"
        "    if self.global_step == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(self, *a)\n"
        "b.ReconstructionModule.training_step = step\n"
        f"t.train(compose('run', {overrides}))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    died = subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[1], timeout=200)
    assert died.returncode == -9
    assert json.loads((folder / "status.json").read_text())["status"] == "running"
    start(datasets, tmp_path / "b", f"resume={folder}", f"data.workers={workers}")
    assert_same(folder, whole)


@pytest.mark.parametrize("where", ["torch.save", "os.fsync"])
def test_a_kill_while_a_checkpoint_is_written_leaves_the_previous_one(tmp_path, monkeypatch, where):
    path = tmp_path / "checkpoints" / "last.ckpt"
    save_whole({"step": 1}, path)

    def half(*arguments):
        if where == "torch.save":
            arguments[1].write(b"PK\x03\x04 half a file")
        raise SystemError("killed")

    monkeypatch.setattr(f"lit3d.callbacks.last.{where}", half)
    with pytest.raises(SystemError):
        save_whole({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    monkeypatch.undo()
    save_whole({"step": 3}, path)
    assert torch.load(path, weights_only=True) == {"step": 3}
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_is_never_due_more_often_than_each_step():
    assert LastCheckpoint("x", every=0).every == 1


def test_what_cannot_be_resumed_is_said_in_a_sentence(datasets, tmp_path, whole):
    def sentence(*overrides):
        with pytest.raises(UserError) as caught:
            start(datasets, tmp_path / "runs" / "new", *overrides)
        return str(caught.value)

    assert "holds no unfinished run named 'pointset-cd'" in sentence("resume=last")
    assert "there is no checkpoint" in sentence(f"resume={tmp_path}/absent.ckpt")
    assert "is finished" in sentence(f"resume={whole}")
    folder = tmp_path / "other"
    save_whole(last(whole), folder / "checkpoints" / "last.ckpt")
    assert "has model.points=256, but this config says 128" in sentence(f"resume={folder}", "model.points=128")
    assert "has seed=0, but this config says 3" in sentence(f"resume={folder}", "seed=3")
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"nonsense")
    assert "is no checkpoint of lit3d" in sentence(f"resume={folder}")
    assert not (tmp_path / "runs" / "new").exists()


def test_a_folder_that_another_process_trains_in_is_refused(datasets, tmp_path):
    from lit3d.training import _alone

    with _alone(tmp_path):
        child = subprocess.run(
            [sys.executable, "-c", f"import fcntl; s = open({str(tmp_path / '.lock')!r}, 'ab'); "
             "fcntl.lockf(s, fcntl.LOCK_EX | fcntl.LOCK_NB)"], capture_output=True, text=True,
        )  # fmt: skip
        assert "BlockingIOError" in child.stderr
    assert not (tmp_path / ".lock").exists()
