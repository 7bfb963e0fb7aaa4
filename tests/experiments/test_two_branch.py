"""Heads of equal size, and the analysis on tiny runs."""

import csv

import pytest

from experiments.two_branch.analyse import analyse, find_runs, interval, verdict
from experiments.two_branch.heads import HEADS
from experiments.two_branch.train import run
from lit3d.build import instantiate, plain
from lit3d.config import compose
from lit3d.errors import UserError


def test_the_heads_have_equally_many_parameters():
    counts = {}
    for head, overrides in HEADS.items():
        config = plain(compose("run", [*overrides, "paths.output=x"]))
        network = instantiate(config["model"]["network"])
        counts[head] = sum(p.numel() for p in network.parameters())
        assert sum(p.numel() for p in network.encoder.parameters()) == 3_270_880
    assert max(counts.values()) < 1.02 * min(counts.values()), counts
    assert counts["fc"] == 6_944_992


def test_an_interval_over_objects_takes_seeds_as_one():
    values = {f"o{i}": [i - 1.0, i + 1.0] for i in range(10)}
    found = interval(values)
    assert found["mean"] == pytest.approx(4.5)
    assert found["low"] < 4.5 < found["high"]


def test_a_branch_draws_a_kind_if_its_interval_is_above_chance():
    rows = [
        {"head": "two_branch", "branch": b, "kind": k, "gain_2pct_low": low}
        for b, k, low in (("fc", "body", -0.1), ("upconv", "body", 0.01), ("fc", "plate", -0.1),
                          ("upconv", "plate", -0.1), ("fc", "rod", 0.02), ("upconv", "rod", 0.0))
    ]  # fmt: skip
    text = " ".join(verdict(rows))
    assert "body is drawn more than by chance by upconv" in text
    assert "plate is drawn more than by chance by neither" in text
    assert "rod is drawn more than by chance by fc" in text


def test_tiny_runs_give_tables_and_the_figure(datasets, tmp_path):
    tiny = ["debug=tiny", f"paths.data={datasets}", "callbacks.results.references=false", "trainer.max_steps=1",
            "callbacks.media=null", "callbacks.branches=null", "trainer.val_check_interval=1"]  # fmt: skip
    runs = tmp_path / "runs"
    for head in ("fc", "two_branch"):
        run(head, 0, runs, tiny)
    before = (runs / "fc_0" / "results.json").stat().st_mtime_ns
    assert run("fc", 0, runs, tiny) == runs / "fc_0"  # finished: left alone
    assert (runs / "fc_0" / "results.json").stat().st_mtime_ns == before
    lines = analyse(runs, tmp_path / "out")
    assert len(lines) == 3
    with (tmp_path / "out" / "branches.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found = [(r["head"], r["branch"]) for r in rows[::3]]
    assert found == [("fc", "fc"), ("two_branch", "fc"), ("two_branch", "upconv")]
    assert sum(float(r["own_share"]) for r in rows[3:6]) == pytest.approx(1, abs=1e-3)
    with (tmp_path / "out" / "scores.csv").open() as stream:
        scores = {r["head"]: r for r in csv.DictReader(stream) if r["score"] == "fscore_5pct"}
    assert float(scores["fc"]["difference_mean"]) == 0
    gain = float(scores["two_branch"]["mean"]) - float(scores["fc"]["mean"])
    assert float(scores["two_branch"]["difference_mean"]) == pytest.approx(gain, abs=2e-4)
    assert (tmp_path / "out" / "two_branch.png").stat().st_size > 10_000


def test_a_folder_without_runs_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match=r"experiments\.two_branch\.train"):
        find_runs(tmp_path)
