"""The same test by one process and by two: the same numbers, each view once."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit3d.config import compose
from lit3d.data import sampler
from lit3d.evaluation import evaluate
from lit3d.training import train


@pytest.mark.slow
def test_a_whole_run_in_two_processes_leaves_one_whole_folder(tmp_path):
    overrides = ["debug=tiny", f"data.root={tmp_path}/data", f"paths.output={tmp_path}", "trainer.devices=2",
                 "data.limit=15", "data.batch_size=2",  # 5 test views: one process repeats one
                 "trainer.accelerator=cpu", "trainer.strategy=ddp"]  # fmt: skip
    command = [sys.executable, "-m", "lit3d.run", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("truth resampled") == 1  # one process speaks
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "finished"
    results = json.loads((tmp_path / "results.json").read_text())
    with (tmp_path / "per_sample.csv").open() as stream:
        rows = [(row["split"], row["object"], row["view"]) for row in csv.DictReader(stream)]
    assert len(set(rows)) == len(rows) == results["counts"]["images"]
    assert results["steps"] == 6
    one = tmp_path / "one"  # the same weights, scored by a single process
    evaluate(compose("evaluate", [f"checkpoint={tmp_path}/checkpoints/best.ckpt", f"paths.output={one}"]))
    alone = json.loads((one / "results.json").read_text())
    assert alone["counts"] == results["counts"]
    assert results["test"] == pytest.approx(alone["test"], abs=1e-6)
    for row, values in alone["references"]["test"].items():
        assert results["references"]["test"][row]["mean"] == pytest.approx(values["mean"], abs=1e-6), row


@pytest.mark.slow
def test_two_processes_train_as_one_with_a_batch_of_both(datasets, tmp_path):
    """Without batch statistics, which each process has of its own share; SGD, because Adam magnifies round-off."""
    overrides = ["debug=tiny", f"paths.data={datasets}", "test=false", "model/encoder=paper", "trainer.max_steps=4",
                 "model.optimizer._target_=torch.optim.SGD", "model.optimizer.lr=0.1", "callbacks.media=null",
                 "trainer.accelerator=cpu", "trainer.precision=32-true"]  # fmt: skip
    two, one, half = tmp_path / "two", tmp_path / "one", tmp_path / "half"
    command = [sys.executable, "-m", "lit3d.run", *overrides, "trainer=ddp", "data.batch_size=2", f"paths.output={two}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    train(compose("run", [*overrides, "data.batch_size=4", f"paths.output={one}"]))
    train(compose("run", [*overrides, "data.batch_size=2", f"paths.output={half}"]))
    ours, whole, other = (
        torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in (two, one, half)
    )
    assert all(torch.allclose(ours[k], whole[k], atol=1e-5) for k in whole)
    assert not all(torch.allclose(ours[k], other[k], atol=1e-5) for k in other)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_batch_out_without_loss_or_repetition(monkeypatch, world):
    size, length = 4, 50
    monkeypatch.setattr(sampler, "rank_and_world", lambda: (0, 1))
    whole = [index for _, index in sampler.EpochSampler(length, seed=1)]
    shares = []
    for rank in range(world):
        monkeypatch.setattr(sampler, "rank_and_world", lambda rank=rank: (rank, world))
        shares.append([index for _, index in sampler.EpochSampler(length, seed=1)])
    assert len({len(share) for share in shares}) == 1
    seen = [index for share in shares for index in share]
    assert len(set(seen)) == len(seen) == length - length % world
    for step in range(len(shares[0]) // size):
        together = {index for share in shares for index in share[step * size : (step + 1) * size]}
        assert together == set(whole[step * size * world : (step + 1) * size * world])
