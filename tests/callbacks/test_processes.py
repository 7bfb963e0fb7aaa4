"""The same test by one process and by two: the same numbers, each view once."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl

from lit3d.build import instantiate, load_module, plain
from lit3d.callbacks import Results
from lit3d.config import compose


def scored(folder, checkpoint, config, **options):
    folder.mkdir()
    data = instantiate(config["data"], seed=0)
    data.make()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, callbacks=[Results(folder, encoded=20)], use_distributed_sampler=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, **options,
    )  # fmt: skip
    trainer.test(load_module(checkpoint), datamodule=data, verbose=False)
    with (folder / "per_sample.csv").open() as stream:
        return list(csv.DictReader(stream)), json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_two_processes_score_as_one_and_every_view_once(trained, tmp_path):
    overrides = ["debug=tiny", f"data.root={tmp_path}/data", f"paths.output={tmp_path}", "data.limit=15"]
    config = plain(compose("run", [*overrides, "data.batch_size=2"]))  # 5 test views: one process repeats one
    rows, one = scored(tmp_path / "one", trained, config, devices=1)
    try:
        shared, two = scored(tmp_path / "two", trained, config, devices=2, strategy="ddp_spawn")
    finally:
        os.environ.pop("MASTER_PORT", None)  # Lightning's
    identity = ("split", "object", "category", "view")
    assert [[r[k] for k in identity] for r in shared] == [[r[k] for k in identity] for r in rows]
    assert len({(r["object"], r["view"]) for r in rows}) == len(rows) == 5
    assert two["counts"] == one["counts"]
    for name, value in one["test"].items():
        assert two["test"][name] == pytest.approx(value, abs=1e-6), name
    assert list(two["references"]["test"]) == list(one["references"]["test"])
    for row, values in one["references"]["test"].items():
        assert two["references"]["test"][row]["mean"] == pytest.approx(values["mean"], abs=1e-6), row
    assert two["test_by_class"].keys() == one["test_by_class"].keys()


@pytest.mark.slow
def test_a_whole_run_in_two_processes_leaves_one_whole_folder(datasets, tmp_path):
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path}", "trainer.devices=2",
                 "trainer.accelerator=cpu", "trainer.strategy=ddp"]  # fmt: skip
    command = [sys.executable, "-m", "lit3d.run", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("truth resampled") == 1  # one process speaks
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "finished"
    results = json.loads((tmp_path / "results.json").read_text())
    with (tmp_path / "per_sample.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == results["counts"]["images"]
    assert results["steps"] == 6
