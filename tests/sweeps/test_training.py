"""Sweeps of real runs: cut anywhere, continued, and equal to undisturbed ones; what jobs leave in their process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit3d.config import compose
from lit3d.errors import RefusedError
from lit3d.modules.base import ReconstructionModule
from lit3d.resume import Finished, Resumption, job_before
from lit3d.run import task
from lit3d.training import train

ROOT = Path(__file__).parents[2]
SMALL = ("debug=tiny", "callbacks.media=null", "callbacks.branches=null", "callbacks.results.references=false",
         "callbacks.last.every=2")  # fmt: skip
KILLED = """
import os, signal, sys
import lit3d.modules.base as b
from lit3d.run import main
real = b.ReconstructionModule.training_step
def step(self, *a):
    if (self.config["seed"], self.global_step) == (1, 5): os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *a)
b.ReconstructionModule.training_step = step
sys.argv = ["run", *{arguments!r}]
main()
"""


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def status(folder):
    return json.loads((folder / "status.json").read_text())


def jobs(home):
    return sorted(path.parent for path in home.glob("?_*/status.json"))


@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_of_a_job_ends_as_one_that_was_not(start, datasets, tmp_path):
    arguments = ["-m", *SMALL, f"paths.data={datasets}", "seed=0,1,2"]
    assert start(task, *arguments, "hydra.sweep.dir=whole") == 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    died = subprocess.run([sys.executable, "-c", KILLED.format(arguments=arguments)], env=environment, cwd=tmp_path,
                          timeout=250)  # fmt: skip
    assert died.returncode == -9
    (home,) = (tmp_path / "multirun").iterdir()
    assert [status(job)["status"] for job in jobs(home)] == ["finished", "running"]
    first = (jobs(home)[0] / "results.json").stat().st_mtime_ns
    assert start(task, *arguments) == 0
    assert (jobs(home)[0] / "results.json").stat().st_mtime_ns == first  # skipped
    assert status(jobs(home)[1])["resumed_from_step"] == 4
    assert len(jobs(home)) == 3
    for ours, theirs in zip(jobs(home), jobs(tmp_path / "whole"), strict=True):
        mine, other = weights(ours), weights(theirs)
        assert all(torch.equal(mine[k], other[k]) for k in other)
        read = [json.loads((job / "results.json").read_text())["test"] for job in (ours, theirs)]
        assert read[0] == read[1]


def test_a_job_folder_is_finished_or_resumed_or_someone_elses(datasets, tmp_path):
    overrides = [*SMALL, f"paths.data={datasets}", f"paths.output={tmp_path}", "test=false"]
    from lit3d.build import plain

    config = plain(compose("run", overrides))
    assert job_before(config, tmp_path) is None
    train(compose("run", overrides))
    found = job_before(config, tmp_path)
    assert isinstance(found, Finished)
    assert found.score == status(tmp_path)["score"] > 0
    (tmp_path / "status.json").write_text('{"status": "running"}')
    found = job_before(config, tmp_path)
    assert isinstance(found, Resumption)
    assert found.step == 6
    assert isinstance(job_before(plain(compose("run", [*overrides, "data.workers=2"])), tmp_path), Resumption)
    with pytest.raises(RefusedError, match=r"holds a run with trainer\.max_steps=6, but this config says 7"):
        job_before(plain(compose("run", [*overrides, "trainer.max_steps=7"])), tmp_path)
    with pytest.raises(RefusedError, match=r"holds a run with data\.source\.seed=0, but this config says 1"):
        job_before(plain(compose("run", [*overrides, "data.source.seed=1"])), tmp_path)
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"half")
    assert job_before(config, tmp_path) is None  # begins anew


def test_ddp_in_a_sweep_is_refused_with_the_alternatives(start, capsys):
    assert start(task, "-m", "debug=tiny", "trainer=ddp", "trainer.accelerator=cpu", "seed=0,1") == 1
    out = capsys.readouterr().out
    for job in (0, 1):
        assert f"job {job} failed: UserError: trainer.devices=2 in a sweep: each further process would run" in out
    assert "hydra/launcher=joblib" in out


@pytest.mark.parametrize(("devices", "refused"), [(1, False), ("1", False), ([0], False), (2, True), ("0,1", True)])
def test_which_devices_need_further_processes(devices, refused, monkeypatch, tmp_path):
    from lit3d import training

    monkeypatch.setattr(training, "job_folder", lambda: tmp_path)
    node = {"devices": devices, "strategy": "ddp", "accelerator": "cpu"}
    if refused:
        with pytest.raises(Exception, match="in a sweep"):
            training._check_processes(node)
        monkeypatch.setenv("LOCAL_RANK", "1")  # torchrun and SLURM start all processes themselves
        training._check_processes(node)
        monkeypatch.delenv("LOCAL_RANK")
        monkeypatch.setattr(training, "job_folder", lambda: None)
    training._check_processes(node)


@pytest.mark.slow
def test_a_job_without_memory_does_not_poison_the_next(start, datasets, tmp_path, capsys, monkeypatch):
    real = ReconstructionModule.training_step

    def step(self, *a):
        if self.config["seed"] == 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB")
        return real(self, *a)

    monkeypatch.setattr(ReconstructionModule, "training_step", step)
    arguments = (*SMALL, f"paths.data={datasets}", "test=false", "logger=[csv,wandb]")
    assert start(task, "-m", *arguments, "seed=0,1") == 1
    assert "job 0 failed: OutOfMemoryError: CUDA out of memory" in capsys.readouterr().out
    (home,) = (tmp_path / "multirun").iterdir()
    assert [status(job)["status"] for job in jobs(home)] == ["failed", "finished"]
    assert len({p.name for p in home.glob("*/wandb/offline-run-*")}) == 2  # a run each
    assert "OutOfMemoryError" in next(home.glob("0_*/*.log")).read_text()


MEMORY = """
import gc, os, sys
import lit3d.run as run
from lit3d.config import launch
def rss():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def task(cfg):
    try: return run.task(cfg)
    finally: print(f"RSS {cfg.seed} {rss():.1f}", file=sys.stderr, flush=True)
sys.argv = ["run", *ARGUMENTS]
launch("run", task)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="gpu: reads Linux's own count of memory")
def test_memory_after_twenty_jobs_is_that_after_two(datasets, tmp_path):
    arguments = ["-m", "debug=tiny", f"paths.data={datasets}", "callbacks.results.references=false",
                 "trainer.max_steps=2", "seed=range(20)"]  # fmt: skip
    # One arena that gives back at once: what is left free in a thread's arenas moves the number by 60 MB either way.
    heap = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment = os.environ | heap | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MEMORY.replace("ARGUMENTS", repr(arguments))]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stderr[-2000:]
    sizes = [float(line.split()[2]) for line in done.stderr.splitlines() if line.startswith("RSS ")]
    assert len(sizes) == 20
    assert sizes[-1] - sizes[1] < 50, sizes


@pytest.mark.slow
def test_two_models_two_losses_two_seeds(start, datasets, tmp_path, capsys):
    """The way in which the software is used, end to end."""
    assert start(task, "-m", "debug=tiny", f"paths.data={datasets}", "model=pointset,mesh_deform", "loss=cd,emd",
                 "seed=0,1", "hydra/launcher=joblib") == 0  # fmt: skip
    (home,) = (tmp_path / "multirun").iterdir()
    assert len(list(home.glob("*/results.json"))) == 8
    assert "Sweep: 8 of 8 jobs finished" in capsys.readouterr().out
