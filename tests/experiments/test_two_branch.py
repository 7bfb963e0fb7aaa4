"""Heads of equal size, and the analysis on tiny runs."""

import csv

import pytest

from experiments.runs import by_variant, train_variants
from experiments.two_branch.analyse import analyse, interval, verdict
from experiments.two_branch.heads import HEADS
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


def test_the_better_branch_of_each_kind_is_the_one_beyond_the_interval():
    leads = {"body": (-0.05, -0.08, -0.02), "plate": (0.01, -0.02, 0.04), "rod": (0.05, 0.02, 0.08)}
    rows = [
        {"head": "two_branch", "branch": b, "kind": k}
        | {f"lead_2pct_{n}": s * v for n, v in zip(("mean", "low", "high"), lead, strict=True)}
        for b, s in (("fc", 1), ("upconv", -1)) for k, lead in leads.items()
    ]  # fmt: skip
    text = verdict([*rows, {"head": "fc", "branch": "fc", "kind": "rod"}])
    assert [line.split(";")[0].split(": ")[1] for line in text] == [
        "body is drawn better by upconv", "plate is drawn better by neither branch", "rod is drawn better by fc"
    ]  # fmt: skip


def test_tiny_runs_give_tables_and_the_figure(datasets, tmp_path):
    tiny = ["debug=tiny", f"paths.data={datasets}", "callbacks.results.references=false", "trainer.max_steps=1",
            "callbacks.media=null", "callbacks.branches=null", "trainer.val_check_interval=1"]  # fmt: skip
    runs = tmp_path / "runs"
    train_variants(HEADS, "two_branch", None, [*tiny[:1], "--out", str(runs), "--only", "fc,two_branch", *tiny[1:]])
    before = (runs / "fc_0" / "results.json").stat().st_mtime_ns
    train_variants(HEADS, "two_branch", None, ["--out", str(runs), "--only", "fc", *tiny])  # finished: left alone
    assert (runs / "fc_0" / "results.json").stat().st_mtime_ns == before
    lines = analyse(runs, tmp_path / "out")
    assert len(lines) == 6  # three kinds at 2 and at 5 %
    with (tmp_path / "out" / "branches.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found = [(r["head"], r["branch"]) for r in rows[::3]]
    assert found == [("fc", "fc"), ("two_branch", "fc"), ("two_branch", "upconv")]
    for own, other in zip(rows[3:6], rows[6:9], strict=True):  # the lead of one is the lag of the other
        lead, lag = (float(row["lead_2pct_mean"] or "nan") for row in (own, other))
        assert lead == pytest.approx(-lag, abs=1e-4, nan_ok=True)
    assert float(rows[3]["recall_2pct_equal"]) == pytest.approx(float(rows[3]["recall_2pct"]), abs=1e-4)  # the smaller
    assert sum(float(r["own_share"]) for r in rows[3:6]) == pytest.approx(1, abs=1e-3)
    with (tmp_path / "out" / "scores.csv").open() as stream:
        scores = {r["head"]: r for r in csv.DictReader(stream) if r["score"] == "fscore_5pct"}
    assert float(scores["fc"]["difference_mean"]) == 0
    gain = float(scores["two_branch"]["mean"]) - float(scores["fc"]["mean"])
    assert float(scores["two_branch"]["difference_mean"]) == pytest.approx(gain, abs=2e-4)
    assert (tmp_path / "out" / "two_branch.png").stat().st_size > 10_000


def test_a_folder_without_runs_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match=r"experiments\.two_branch\.train"):
        analyse(tmp_path, tmp_path)


def test_variants_come_in_their_order_and_unknown_ones_are_refused(tmp_path, capsys):
    for name in ("b_0", "a_0", "a_1", "z_0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").touch()
    found = by_variant(tmp_path, ["b", "a"], "x")
    assert {k: [f.name for f in v] for k, v in found.items()} == {"b": ["b_0"], "a": ["a_0", "a_1"], "z": ["z_0"]}
    assert list(found) == ["b", "a", "z"]
    with pytest.raises(SystemExit):
        train_variants(HEADS, "two_branch", None, ["--only", "fc,foo"])
    assert "no such variant: foo; there are fc" in capsys.readouterr().err
