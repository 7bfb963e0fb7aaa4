"""Objects built of pieces of known thickness, and branches that cover known parts of them."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from lit3d.metrics.branches import (
    BODY,
    KINDS,
    PLATE,
    ROD,
    kinds_of_points,
    pieces,
    recall_by_kind,
    share_by_kind,
    subset_recall,
)


def box(rng, centre, sides, count):
    """Uniform points on the surface of a box."""
    sides = np.asarray(sides, float)
    areas = np.repeat([sides[1] * sides[2], sides[0] * sides[2], sides[0] * sides[1]], 2)
    face = rng.choice(6, count, p=areas / areas.sum())
    points = rng.uniform(-0.5, 0.5, (count, 3))
    points[np.arange(count), face // 2] = face % 2 - 0.5
    return points * sides + centre


@pytest.fixture
def table():
    """A top of 4 %, four legs of 5 % (one part), a chest of 30 %; the truth by construction."""
    rng = np.random.default_rng(0)
    legs = [box(rng, (x, -0.2, z), (0.05, 0.38, 0.05), 300) for x in (-0.4, 0.4) for z in (-0.4, 0.4)]
    parts = [box(rng, (0, 0.02, 0), (1, 0.04, 1), 8000), *legs, box(rng, (0, -0.2, 0), (0.3, 0.3, 0.3), 2000)]
    names, kinds = (0, 1, 1, 1, 1, 2), (PLATE, ROD, ROD, ROD, ROD, BODY)
    sizes = [len(p) for p in parts]
    return np.concatenate(parts), np.repeat(names, sizes), np.repeat(kinds, sizes), np.repeat(range(6), sizes)


def turned(points):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    return points @ turn.T + [3, -1, 2]


@pytest.mark.parametrize("frame", [lambda p: p, turned])
def test_kinds_in_any_frame(table, frame):
    points, parts, kinds, _ = table
    assert (kinds_of_points(frame(points), parts) == kinds).mean() > 0.999


def test_four_legs_are_four_pieces_and_touching_parts_stay_apart(table):
    points, parts, _, solids = table
    found = pieces(points, parts)
    assert len(np.unique(found)) == 6
    assert all(len(np.unique(found[solids == k])) == 1 for k in range(6))


def test_fewer_points_find_the_same_kinds(table):
    points, parts, kinds, _ = table
    some = np.random.default_rng(0).permutation(len(points))[:1500]
    assert (kinds_of_points(points[some], parts[some]) == kinds[some]).mean() > 0.97


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.zeros((5, 3)), np.eye(3)])
def test_a_few_points_or_all_in_one_place(points):
    assert set(kinds_of_points(points, np.zeros(len(points), int))) <= {BODY, PLATE, ROD}


@pytest.fixture
def truth(table):
    points, _, kinds, _ = table
    return torch.from_numpy(points)[None], torch.from_numpy(kinds)[None]


def test_recall_by_kind_against_a_tree(truth):
    points, kinds = truth
    pred = torch.rand(1, 200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    found = recall_by_kind(pred, points, kinds, (0.02, 0.05))
    away = cKDTree(pred[0].numpy()).query(points[0].numpy())[0]
    for r, radius in enumerate((0.02, 0.05)):
        for k in range(len(KINDS)):
            assert float(found[r, 0, k]) == pytest.approx((away[kinds[0].numpy() == k] < radius).mean())


def test_points_on_legs_recall_legs_and_are_spent_on_them(truth):
    points, kinds = truth
    on_legs = points[:, kinds[0] == ROD][:, ::2]
    recall, share = recall_by_kind(on_legs, points, kinds, (0.02,))[0, 0], share_by_kind(on_legs, points, kinds)[0]
    assert recall[ROD] > 0.95
    assert recall[BODY] == 0
    assert share.tolist() == [0, 0, 1]


def test_a_kind_that_an_object_lacks_has_no_recall(truth):
    points, kinds = truth
    both = torch.cat([kinds, torch.zeros_like(kinds)])
    found = recall_by_kind(points.expand(2, -1, -1).contiguous(), points.expand(2, -1, -1).contiguous(), both, (0.05,))
    assert found[0, 0].tolist() == [1, 1, 1]
    assert found[0, 1, BODY] == 1
    assert found[0, 1, 1:].isnan().all()


def test_a_random_branch_has_no_advantage_over_a_random_subset(truth):
    points, kinds = truth
    order = torch.randperm(points.shape[1], generator=torch.Generator().manual_seed(0))
    whole = points[:, order[:1024]]
    branch = recall_by_kind(whole[:, :256], points, kinds, (0.05,))[0, 0]
    chance = subset_recall(whole, 256, points, kinds, (0.05,), seeds=range(8))[0, 0]
    assert (branch - chance).abs().max() < 0.06
    all_of_it = subset_recall(whole, 1024, points, kinds, (0.05,))
    assert torch.allclose(all_of_it, recall_by_kind(whole, points, kinds, (0.05,)))
