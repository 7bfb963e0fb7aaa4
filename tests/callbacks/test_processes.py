"""The same test by one process and by two: the same numbers, each view once."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lit3d.config import compose
from lit3d.evaluation import evaluate


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
