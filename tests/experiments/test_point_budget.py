"""The ceiling formula against chance on surfaces whose area is known."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from experiments.point_budget import ceiling
from experiments.point_budget.figure import class_table, crossing, curve
from experiments.point_budget.truth import ball_ratio, budgets, means
from lit3d.metrics import chamfer_l1, distances, fscore, recall

N, M = 300, 4000


def nearest_on_a_torus(rng):
    """Distances of 1,000 points to the nearest of N on a flat square of side 1 whose opposite sides meet: no rim."""
    return cKDTree(rng.random((N, 2)), boxsize=1).query(rng.random((1000, 2)))[0]


@pytest.mark.parametrize("radius", [0.01, 0.03, 0.06])
def test_recall_on_a_plane_without_a_rim(radius):
    rng = np.random.default_rng(0)
    found = np.mean([nearest_on_a_torus(rng) < radius for _ in range(200)])
    assert ceiling.recall(N, 1.0, radius) == pytest.approx(found, abs=0.007)


def test_mean_distance_on_a_plane_without_a_rim():
    rng = np.random.default_rng(1)
    found = np.mean([nearest_on_a_torus(rng) for _ in range(200)])
    assert 2 * ceiling.chamfer_l1(N, 1.0) == pytest.approx(found, rel=0.01)


def sphere(rng, count, radius=0.5):
    points = rng.normal(size=(count, 3))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("radius", [0.02, 0.05, 0.2])
def test_scores_on_a_sphere_are_those_of_the_metrics(radius):
    """A ball around a point of a sphere holds exactly pi tau^2 of it (Archimedes): the formula needs no flatness."""
    rng = np.random.default_rng(2)
    x, y = (torch.from_numpy(np.stack([sphere(rng, k) for _ in range(24)])) for k in (N, M))
    d, area = distances(x, y), math.pi
    assert float(recall(d, radius).mean()) == pytest.approx(ceiling.recall(N, area, radius), abs=0.004)
    assert float(fscore(d, radius).mean()) == pytest.approx(ceiling.fscore(N, area, radius, M), abs=0.006)
    assert float(chamfer_l1(d).mean()) == pytest.approx(ceiling.chamfer_l1(N, area, M), rel=0.01)
    balls = [ball_ratio(b.numpy(), a.numpy(), area, radius) for a, b in zip(x, y, strict=True)]
    assert np.mean(balls) == pytest.approx(1, abs=0.03)


def test_a_ball_in_a_thin_wall_holds_both_of_its_sides():
    rng = np.random.default_rng(3)
    wall = rng.uniform([-0.2, -0.2, 0], [1.2, 1.2, 1], (20_000, 3))
    wall[:, 2] = 0.001 * (wall[:, 2] < 0.5)
    centres = rng.uniform([0, 0, 0], [1, 1, 0], (500, 3))
    assert ball_ratio(wall, centres, area=2 * 1.4**2, radius=0.05) == pytest.approx(2, rel=0.03)


def test_the_limits_of_the_formula():
    n, area = np.array([1, 10, 1e9]), 2.0
    assert np.all(ceiling.recall(n, area, 0.05) <= ceiling.best_recall(n, area, 0.05))
    assert ceiling.fscore(n, area, 0.05)[-1] == pytest.approx(1)
    assert ceiling.fscore(100, area, 0.05) == pytest.approx(ceiling.fscore(100, area, 0.05, m=1e9))
    assert ceiling.fscore(500, area, 0.05, m=500) == pytest.approx(ceiling.recall(500, area, 0.05))
    assert ceiling.recall(ceiling.points_needed(0.95, area, 0.05), area, 0.05) == pytest.approx(0.95)


def test_budgets_are_prefixes_and_farthest_points_cover_more():
    points = torch.from_numpy(sphere(np.random.default_rng(4), 512))[None].float()
    found = {(sampling, n): subset for sampling, n, subset in budgets(points, (32, 128, 256))}
    assert {key for key in found if key[0] == "farthest"} == {("farthest", 32), ("farthest", 128)}
    assert torch.equal(found["uniform", 256], points[:, :256])
    assert torch.equal(found["farthest", 128][:, :32], found["farthest", 32])
    spread = [recall(distances(found[k, 32], points), 0.2) for k in ("farthest", "uniform")]
    assert float(spread[0]) > float(spread[1]) + 0.1


def test_means_curves_and_crossings():
    rows = [
        {"object": f"{c}{i}", "category": c, "sampling": "uniform", "n": n, "recall_5pct": (i + n / 64) / 4}
        for c in ("bed", "car") for i in (0, 1) for n in (64, 128)
    ]  # fmt: skip
    table = means(rows)
    assert [(r["category"], r["n"], r["objects"]) for r in table] == [
        ("all", 64, 4), ("bed", 64, 2), ("car", 64, 2), ("all", 128, 4), ("bed", 128, 2), ("car", 128, 2)
    ]  # fmt: skip
    np.testing.assert_allclose(curve(table, "uniform", "recall_5pct"), [[64, 0.375], [128, 0.625]])
    assert crossing(np.array([[64, 0.2], [256, 0.6]]), 0.4) == pytest.approx(128)  # halfway along log n
    assert math.isnan(crossing(np.array([[64, 0.2], [256, 0.6]]), 0.7))
    assert crossing(np.array([[64, 0.8], [256, 0.9]]), 0.7) == 64


def test_the_measured_ball_takes_the_place_of_the_flat_one():
    rows = [{"sampling": "uniform", "category": "mug", "n": 64, "recall_5pct": 0.5}]
    surfaces = [{"category": "mug", "area": 1.0, "ball_ratio_5pct": 2.0}]
    (line,) = class_table(rows, surfaces, n=64)
    flat, doubled = (1 - math.exp(-k * math.pi * 0.05**2 * 64) for k in (1, 2))
    assert line == ("mug", "1.00", "2.00", f"{flat:.3f}", f"{doubled:.3f}", "0.500")
