"""Angles, outlines, edges and points in empty space, against loops and cases whose answer is known."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lit3d import metrics
from lit3d.metrics.depth_shape import angles, compact
from tests.ops.surfaces import camera, directions, plane


def unit(shape, seed):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
    return torch.nn.functional.normalize(x, dim=1)


def test_angles_are_exact_and_90_for_what_has_no_direction():
    a, b = unit((1, 3, 4, 5), 0), unit((1, 3, 4, 5), 1)
    expected = np.degrees(np.arccos((a * b).sum(1).numpy()))
    torch.testing.assert_close(angles(2 * a, 3 * b)[:, 0], torch.tensor(expected))
    tiny = torch.tensor([0.0, 1e-5, -1.0]).double()[None, :, None, None]
    ahead = torch.tensor([0.0, 0.0, -1.0]).double()[None, :, None, None]
    assert float(angles(tiny, ahead)) == pytest.approx(math.degrees(1e-5))
    assert float(angles(-ahead, ahead)) == pytest.approx(180)
    for broken in (0.0, math.nan, math.inf):
        assert float(angles(torch.full_like(ahead, broken), ahead)) == 90


def test_normal_scores_are_numpys_over_valid_pixels():
    a, b = unit((2, 3, 8, 8), 2), unit((2, 3, 8, 8), 3)
    b = torch.nn.functional.normalize(a + 0.4 * b, dim=1)
    valid = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(4)) < 0.7
    got = metrics.normal_scores(angles(a, b), valid, torch.tensor([False, False]), "x")
    for i in range(2):
        angle = np.degrees(np.arccos((a * b).sum(1, keepdim=True).numpy()))[i][valid[i].numpy()]
        assert float(got["x_angle"][i]) == pytest.approx(angle.mean())
        assert float(got["x_angle_median"][i]) == pytest.approx(np.median(angle))
        for name, limit in (("x_11deg", 11.25), ("x_22deg", 22.5), ("x_30deg", 30)):
            assert float(got[name][i]) == pytest.approx((angle < limit).mean())


def test_normals_that_cannot_be_scored_get_the_worst():
    angle = torch.zeros(1, 1, 4, 4)
    got = metrics.normal_scores(angle, torch.ones_like(angle, dtype=torch.bool), torch.tensor([True]))
    assert {k: float(v) for k, v in got.items()} == {
        "normal_angle": 90, "normal_angle_median": 90, "normal_11deg": 0, "normal_22deg": 0, "normal_30deg": 0,
    }  # fmt: skip


def test_mask_iou():
    a = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()[:, None, None]
    b = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]).bool()[:, None, None]
    assert metrics.mask_iou(a, b).tolist() == pytest.approx([1 / 3, 1, 0, 1])


def boundary_by_loop(d, g, ok, jump):
    def edges(x):
        found = set()
        for y in range(x.shape[0]):
            for z in range(x.shape[1]):
                for j, i in ((y, z + 1), (y + 1, z)):
                    if j < x.shape[0] and i < x.shape[1] and ok[y, z] and ok[j, i]:
                        a, b = x[y, z], x[j, i]
                        if max(a, b) > (1 + jump) * min(a, b):
                            found.add((y, z, j, i, a < b))
        return found

    ours, theirs = edges(d), edges(g)
    if not ours and not theirs:
        return 1.0
    hit = len(ours & theirs)
    p, r = hit / max(len(ours), 1), hit / max(len(theirs), 1)
    return 2 * p * r / (p + r) if hit else 0.0


def test_boundary_f1_is_what_a_loop_over_edges_says():
    rng = np.random.default_rng(0)
    truth = 1 + 0.06 * rng.random((4, 1, 10, 10))
    depth = truth + 0.03 * rng.random(truth.shape)
    mask = rng.random(truth.shape) < 0.9
    truth[0], depth[1] = 1.0, 1.0
    truth[2, 0, 0, 0] = math.nan
    got = metrics.boundary_f1(torch.tensor(depth), torch.tensor(truth), torch.tensor(mask), 0.02)
    for i in range(4):
        ok = mask[i, 0] & np.isfinite(truth[i, 0])
        assert float(got[i]) == pytest.approx(boundary_by_loop(depth[i, 0], truth[i, 0], ok, 0.02))
    assert got[0] == got[1] == 0
    assert float(got[3]) > 0.3


def test_boundary_f1_of_flat_wrong_and_broken():
    flat = torch.ones(1, 1, 4, 4)
    step = flat + (torch.arange(4) > 1)
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    values = [(flat, flat, 1), (step, step, 1), (flat, step, 0), (3 - step, step, 0), (step * math.nan, step, 0)]
    for depth, truth, expected in values:
        assert float(metrics.boundary_f1(depth, truth, mask)) == expected
    assert float(metrics.boundary_f1(flat, flat, ~mask)) == 0


def test_compact_keeps_the_valid_points_and_nothing_else():
    points = torch.arange(24.0).reshape(2, 4, 3)
    valid = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 0]]).bool()
    kept, there = compact(points, valid)
    assert kept.shape == (2, 2, 3)
    assert torch.equal(kept[0], points[0, [1, 3]])
    assert torch.equal(kept[1], points[1, [2, 2]])
    assert there.tolist() == [[True, True], [True, False]]
    assert compact(points, ~valid & valid)[0].tolist() == [[[0, 0, 0]], [[0, 0, 0]]]


def two_surfaces():
    """A step from depth 1 to 2, its mean along the edge, and the camera."""
    k = camera(16, focal=40.0)
    truth = torch.where(torch.arange(16) < 8, 1.0, 2.0).double().expand(1, 1, 16, 16).clone()
    blurred = truth.clone()
    blurred[..., 7:9] = 1.5
    return truth, blurred, k


def test_flying_pixels_is_what_all_pairs_say():
    truth, blurred, k = two_surfaces()
    depth = torch.cat([truth, blurred, blurred + 0.03, truth + 0.2])
    mask = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.8
    shown = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.6
    g = truth.expand(4, 1, 16, 16).clone()
    g[1, 0, 0, 0] = math.nan
    kk = k.expand(4, 3, 3)
    got = metrics.flying_pixels(depth, g, mask, shown, kk, 0.05)
    rays = directions(kk, 16, 16)
    for i in range(4):
        ok = (mask[i] & g[i].isfinite())[0]
        ours = (depth[i] * rays[i])[:, shown[i, 0]].T.numpy()
        far = cdist(ours, (g[i] * rays[i])[:, ok].T.numpy()).min(1) > 0.05
        assert float(got[i]) == pytest.approx(far.mean())


def test_flying_pixels_are_those_between_two_surfaces():
    truth, blurred, k = two_surfaces()
    mask = torch.ones_like(truth, dtype=torch.bool)
    assert float(metrics.flying_pixels(truth, truth, mask, mask, k)) == 0
    assert float(metrics.flying_pixels(blurred, truth, mask, mask, k)) == 2 / 16
    for broken in (truth * math.nan, truth * math.inf):
        assert float(metrics.flying_pixels(broken, truth, mask, mask, k)) == 1
    assert float(metrics.flying_pixels(truth, truth, mask, ~mask, k)) == 1
    assert float(metrics.flying_pixels(truth, truth, ~mask, mask, k)) == 1
    hole = torch.where(torch.arange(16) < 4, math.nan, truth)
    assert float(metrics.flying_pixels(hole, truth, mask, mask & hole.isfinite(), k)) == 0  # not shown, not counted


def test_visible_chamfer_is_what_all_pairs_say():
    k = camera(12).expand(2, 3, 3)
    truth, _ = plane(k, (0.3, 0.1, -1.0), height=12, width=12)
    mask = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)) < 0.5
    points = 2 * torch.rand(2, 30, 3, generator=torch.Generator().manual_seed(1)).double()
    got = metrics.visible_chamfer_l1(points, truth, mask, k)
    for i in range(2):
        d = cdist(points[i], (truth[i] * directions(k, 12, 12)[i])[:, mask[i, 0]].T)
        assert float(got[i]) == pytest.approx((d.min(1).mean() + d.min(0).mean()) / 2)
    exact = (truth * directions(k, 12, 12)).flatten(2).transpose(1, 2)
    assert float(metrics.visible_chamfer_l1(exact, truth, torch.ones_like(mask), k).max()) < 1e-12


def test_visible_chamfer_of_failures():
    k = camera(4)
    truth = torch.ones(1, 1, 4, 4).double()
    mask = torch.ones_like(truth, dtype=torch.bool)
    points = torch.rand(1, 5, 3).double()
    for p, m in ((points * math.nan, mask), (points, ~mask), (points[:, :0], mask)):
        assert metrics.visible_chamfer_l1(p, truth, m, k).tolist() == [pytest.approx(math.sqrt(3))]
