"""The legacy soft matching against loops, plans against bijections, and the analysis of run folders."""

import json
import math

import numpy as np
import ot
import pytest
import torch
import yaml

from experiments.approximate_emd import analyse, free_points
from experiments.approximate_emd.legacy import approximate_emd, soft_assignment
from experiments.approximate_emd.methods import entropic_plan, methods, sliced_plan, violations
from experiments.approximate_emd.shapes import SHAPES, sample
from experiments.runs import read_runs
from lit3d import losses
from lit3d.errors import UserError


def sets(n, m, b=2):
    g = torch.Generator().manual_seed(n + m)
    return tuple(torch.rand(b, k, 3, generator=g, dtype=torch.float64) for k in (n, m))


def naive_assignment(x, y):
    """One pair of sets, point by point."""
    n, m = len(x), len(y)
    left, room = [max(n, m) // n] * n, [max(n, m) // m] * m
    total = [[0.0] * m for _ in range(n)]
    for level in (*(-(4.0**j) for j in (7, 6, 5, 4, 3, 2, 1, 0, -1)), 0.0):
        offer = [[math.exp(level * math.dist(p, q) ** 2) * room[j] for j, q in enumerate(y)] for p in x]
        for i, row in enumerate(offer):
            offer[i] = [w / (sum(row) + 1e-9) * left[i] for w in row]
        for j in range(m):
            share = min(room[j] / (sum(row[j] for row in offer) + 1e-9), 1)
            for row in offer:
                row[j] *= share
        left = [max(left[i] - sum(row), 0) for i, row in enumerate(offer)]
        room = [max(room[j] - sum(row[j] for row in offer), 0) for j in range(m)]
        total = [[a + b for a, b in zip(s, t, strict=True)] for s, t in zip(total, offer, strict=True)]
    return np.array(total)


@pytest.mark.parametrize(("n", "m"), [(12, 12), (6, 12), (12, 6), (1, 1), (7, 10)])
def test_the_soft_assignment_is_what_loops_say(n, m):
    x, y = sets(n, m)
    got = soft_assignment(x, y)
    for i in range(2):
        np.testing.assert_allclose(got[i], naive_assignment(x[i].tolist(), y[i].tolist()), rtol=0, atol=1e-7)
    lengths = torch.cdist(x, y)
    torch.testing.assert_close(approximate_emd(x, y), (got * lengths).sum((1, 2)) / n)


def test_the_gradient_holds_the_assignment_fixed():
    x, y = sets(8, 8, b=1)
    x.requires_grad_()
    approximate_emd(x, y).sum().backward()
    plan, expected = soft_assignment(x, y)[0], torch.zeros(8, 3, dtype=torch.float64)
    for i in range(8):
        for j in range(8):
            difference = x.detach()[0, i] - y[0, j]
            expected[i] += plan[i, j] * difference / difference.norm() / 8
    torch.testing.assert_close(x.grad[0], expected)
    z = y.clone().requires_grad_()
    approximate_emd(z, y).sum().backward()
    assert bool(z.grad.isfinite().all())


def test_it_is_above_the_exact_distance_and_no_bijection():
    """Where all mass is given its cost is that of a plan, and no plan is cheaper than the best bijection."""
    x, y = sample(200, 1), sample(200, 0)
    torch.testing.assert_close(soft_assignment(x, y).sum(2), torch.ones(3, 200), atol=1e-4, rtol=0)
    ratio = approximate_emd(x, y) / losses.emd(x, y)
    assert bool(((ratio > 1.15) & (ratio < 1.5)).all())
    found = {name: violations(method.partners(x, y), 200) for name, method in methods().items()}
    for name in ("emd", "emd_squared"):
        assert float(found[name][0].max()) == float(found[name][1].max()) == 0
    for name in ("approxmatch", "sinkhorn 0.2", "cd"):
        assert float(found[name][0].min()) > 0.05
    missed = [float(found[f"sinkhorn {blur}"][0].mean()) for blur in ("0.2", "0.1", "0.05", "0.02")]
    assert missed == sorted(missed, reverse=True)


def test_violations_count_points_without_and_with_several_partners():
    missed, crowded = violations(torch.tensor([[0, 0, 0, 1], [3, 2, 1, 0]]), 4)
    assert missed.tolist() == [0.5, 0]
    assert crowded.tolist() == [0.25, 0]


def test_the_entropic_plan_is_pots():
    x, y = sets(10, 14, b=1)
    cost = torch.cdist(x, y)[0].numpy() ** 2
    uniform = np.full(10, 0.1), np.full(14, 1 / 14)
    expected = ot.sinkhorn(*uniform, cost, 0.2**2, method="sinkhorn_log", numItermax=5000, stopThr=1e-12)
    np.testing.assert_allclose(entropic_plan(x, y, 0.2)[0] / 10, expected, atol=1e-8)


def test_the_sliced_plan_averages_bijections():
    x, y = sets(9, 9)
    plan = sliced_plan(x, y)
    for axis in (1, 2):
        torch.testing.assert_close(plan.sum(axis), torch.ones(2, 9, dtype=torch.float64))
    same = sliced_plan(x, x)
    torch.testing.assert_close(same, torch.eye(9, dtype=torch.float64).expand(2, 9, 9))


@pytest.mark.parametrize("name", SHAPES)
def test_targets_have_longest_side_one_and_lie_on_the_surface(name):
    points = SHAPES[name](4000, torch.Generator().manual_seed(0))
    assert points.shape == (4000, 3)
    assert float((points.amax(0) - points.amin(0)).max()) == pytest.approx(1, abs=0.01)
    if name == "torus":
        ring = points[:, ::2].norm(dim=1) - 0.38
        torch.testing.assert_close((ring**2 + points[:, 1] ** 2).sqrt(), torch.full((4000,), 0.12), atol=1e-5, rtol=0)
        assert float((ring > 0).float().mean()) == pytest.approx(0.5 + 0.12 / 0.38 / math.pi, abs=0.03)  # Pappus
    if name == "table":
        legs = 4 * 4 * 0.05 * 0.5 / (4 * (4 * 0.05 * 0.54 + 2 * 0.05**2) + 2 * 0.7 + 2 * 0.06 * 1.7)
        assert float((points[:, 1] < 0.2).float().mean()) == pytest.approx(legs, abs=0.03)


def test_free_points_reach_a_target_and_are_tabled_and_drawn(tmp_path):
    free_points.measure(tmp_path, count=48, steps=40, only=("emd", "approxmatch", "cd"))
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0] == "loss,shape,n,steps,emd,not matched,matched more than once"
    reached = {tuple(line.split(",")[:2]): float(line.split(",")[4]) for line in lines[1:]}
    assert len(reached) == 9
    assert all(reached["emd", shape] < 0.1 < 2 * reached["cd", shape] for shape in SHAPES)
    curve = [line.split(",") for line in (tmp_path / "curves.csv").read_text().splitlines()[1:]]
    assert next(float(row[2]) for row in curve if row[0] == "emd") > 0.25
    assert (tmp_path / "free_points.png").stat().st_size > 10_000


def test_times_are_ratios_to_the_exact_one():
    rows = free_points.clock({k: methods()[k] for k in ("emd", "cd")}, count=32, batch=2, rounds=2)
    assert [row["loss"] for row in rows] == ["emd", "cd"]
    assert rows[0]["times emd"] == 1
    assert rows[1]["ms"] > 0


def write_run(folder, loss, emd, seed=0, steps=100):
    folder.mkdir(parents=True)
    config = {"loss": loss, "seed": seed, "model": {"name": "pointset", "points": 1024}, "data": {"root": "here"},
              "trainer": {"max_steps": steps}}  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    scores = {"emd": emd, "chamfer_l1": emd / 2, "fscore_5pct": 1 - emd}
    results = {"test": scores, "seconds": {"training": 5.0}, "steps": steps}
    (folder / "results.json").write_text(json.dumps(results))


def test_runs_are_named_by_what_they_minimised_and_seeds_are_averaged(tmp_path):
    exact = {"emd": {"_target_": "lit3d.losses.emd"}}
    write_run(tmp_path / "a", exact, 0.05)
    write_run(tmp_path / "b", exact, 0.07, seed=1)
    write_run(tmp_path / "c", {"sinkhorn": {"_target_": "lit3d.losses.sinkhorn", "blur": 0.05}}, 0.04)
    write_run(tmp_path / "d", {"emd": {"_target_": "experiments.approximate_emd.legacy.approximate_emd"}}, 0.09)
    rows = analyse.rows_of(read_runs([tmp_path]))
    assert [(r["loss"], r["seeds"]) for r in rows] == [("sinkhorn 0.05", 1), ("emd", 2), ("approxmatch", 1)]
    assert rows[1]["emd"] == pytest.approx(0.06)
    assert rows[1]["emd_spread"] == pytest.approx(0.02)
    assert rows[1]["ms a step"] == pytest.approx(50)
    analyse.show(rows)
    analyse.draw(rows, tmp_path / "networks.png")
    assert (tmp_path / "networks.png").stat().st_size > 5_000
    write_run(tmp_path / "e", exact, 0.05, steps=200)
    with pytest.raises(UserError, match=r"runs differ in trainer\.max_steps \(100, 200\)"):
        analyse.rows_of(read_runs([tmp_path]))
