"""Depth maps in space and their edges, against loops."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops.depth import inverse_depth, log_depth
from lit3d.ops.masked import entries_at, masked_mean, masked_median, trimmed_mean
from tests.ops.surfaces import camera, plane


def test_unprojected_points_project_to_the_pixel_centres():
    k = camera(20, height=12)
    depth = torch.rand(1, 1, 12, 20, generator=torch.Generator().manual_seed(0)).double() + 1
    points = ops.unproject(depth, k)
    pixels, z = ops.project(points.flatten(2).transpose(1, 2), k, torch.eye(4).double()[None])
    v, u = torch.meshgrid(torch.arange(12) + 0.5, torch.arange(20) + 0.5, indexing="ij")
    torch.testing.assert_close(pixels[0], torch.stack([u, v], -1).flatten(0, 1).double())
    torch.testing.assert_close(z, depth.flatten(1))


def test_skew_is_undone_too():
    k = camera(8, skew=3.0)
    depth = torch.full((1, 1, 8, 8), 2.0).double()
    pixel = torch.tensor([3.5, 5.5, 1.0]).double()
    torch.testing.assert_close(ops.unproject(depth, k)[0, :, 5, 3], 2 * torch.linalg.inv(k[0]) @ pixel)


def test_valid_is_finite_and_in_front():
    depth = torch.tensor([1.0, 0.0, -1.0, math.nan, math.inf, -math.inf, 1e-30]).reshape(1, 1, 1, 7)
    assert ops.valid_depth(depth).flatten().tolist() == [True, False, False, False, False, False, True]
    mask = torch.zeros(1, 1, 1, 7, dtype=torch.bool)
    assert not ops.valid_depth(depth, mask).any()


@pytest.mark.parametrize(("ours", "naive"), [(inverse_depth, lambda d: 1 / d), (log_depth, torch.log)])
def test_inverse_and_logarithm_go_on_as_their_tangent(ours, naive):
    d = torch.linspace(0.011, 3, 50).double()
    torch.testing.assert_close(ours(d), naive(d))
    low = torch.tensor([0.01, 0.0, -5.0]).double().requires_grad_()
    values = ours(low)
    slopes = torch.autograd.grad(values.sum(), low)[0]
    at = torch.tensor(0.01).double().requires_grad_()
    slope = torch.autograd.grad(naive(at), at)[0]
    torch.testing.assert_close(slopes, slope.expand(3))
    torch.testing.assert_close(values, naive(at) + slope * (low - 0.01))


def band_by_loop(depth, mask, jump, width):
    h, w = depth.shape
    found = np.zeros((h, w), bool)
    for y in range(h):
        for x in range(w):
            for ny in range(max(0, y - 1), min(h, y + 2)):
                for nx in range(max(0, x - 1), min(w, x + 2)):
                    a, b = depth[y, x], depth[ny, nx]
                    found[y, x] |= not mask[ny, nx] or abs(a - b) > jump * min(a, b)
    return binary_dilation(found, np.ones((2 * width - 1,) * 2)) & mask if width > 1 else found & mask


@pytest.mark.parametrize("width", [1, 2])
def test_the_band_lies_on_both_sides_of_every_edge(width):
    rng = np.random.default_rng(0)
    depth = 1 + 0.04 * rng.random((14, 17)) + (np.arange(17) > 8) * 0.2
    mask = rng.random((14, 17)) > 0.03
    got = ops.edge_band(torch.tensor(depth)[None, None], torch.tensor(mask)[None, None], 0.05, width)[0, 0].numpy()
    assert (got == band_by_loop(np.where(mask, depth, 1.0), mask, 0.05, width)).all()
    assert 0 < got.sum() < mask.sum()
    assert (got[:, 8:10] == mask[:, 8:10]).all()


def test_a_full_plane_has_no_band_and_the_picture_border_is_none():
    depth, _ = plane(camera(32), (0.3, -0.2, -1.0), height=32, width=32)
    assert not ops.edge_band(depth).any()
    with pytest.raises(UserError, match="jump must be above 0"):
        ops.edge_band(depth, jump=0.0)


def test_statistics_of_masked_entries_are_numpys():
    rng = np.random.default_rng(1)
    values, valid = rng.normal(size=(6, 5, 7)), rng.random((6, 5, 7)) < 0.5
    valid[0] = False
    valid[1] = True
    hostile = torch.tensor(np.where(valid, values, np.nan))
    mask = torch.tensor(valid)
    for ours, naive in [
        (masked_mean, np.mean), (masked_median, np.median),
        (lambda v, m: trimmed_mean(v, m, 0.25, 0.2), lambda v: np.sort(v)[len(v) // 4 : len(v) - len(v) // 5].mean()),
    ]:  # fmt: skip
        expected = [naive(v[m]) if m.any() else 0.0 for v, m in zip(values, valid, strict=True)]
        torch.testing.assert_close(ours(hostile, mask), torch.tensor(expected))


def test_statistics_have_finite_gradients_over_nothing_and_beside_nan():
    for statistic in (masked_mean, masked_median, lambda v, m: trimmed_mean(v, m, 0.25)):
        values = torch.tensor([[math.nan, 1.0, 2.0, 4.0], [math.nan, math.inf, 1.0, 2.0]]).requires_grad_()
        mask = torch.tensor([[False, True, True, True], [False] * 4])
        statistic(values, mask).sum().backward()
        assert values.grad.isfinite().all()
        assert values.grad[1].abs().sum() == 0
        assert float(values.grad[0].sum()) == pytest.approx(1)


def test_entries_are_chosen_by_rank_among_the_valid():
    valid = torch.tensor([[0, 1, 0, 1, 1, 0, 1], [0] * 7, [1] * 7]).bool()
    shares = torch.tensor([0.0, 0.3, 0.5, 0.999]).double()
    got = entries_at(valid, shares)
    assert got[0].tolist() == [1, 3, 4, 6]
    assert got[2].tolist() == [0, 2, 3, 6]
    assert (got[1] < 7).all()
