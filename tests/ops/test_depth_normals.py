"""Normals from depth: exact on planes, right on spheres, against loops, at edges, sparse, and in their gradients."""

import math

import numpy as np
import pytest
import torch

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops.depth_normals import METHODS
from tests.ops.surfaces import camera, degrees, directions, plane, sphere

PLANES = [(0.0, 0.0, -1.0), (0.9, 0.0, -1.0), (-0.4, 1.2, -1.0), (1.0, 1.0, -0.6)]


@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("normal", PLANES)
def test_exact_on_a_plane(method, window, normal):
    k = camera(48, skew=2.0)
    depth, truth = plane(k, normal, height=48, width=48)
    found, valid = ops.normals_from_depth(depth, k, method=method, window=window, jump=1.0)
    assert valid.sum() > 40**2
    assert float(degrees(found, truth)[valid].max()) < 1e-5
    assert float((found.norm(dim=1, keepdim=True)[valid] - 1).abs().max()) < 1e-12
    assert float(found.abs().sum(1, keepdim=True)[~valid].sum()) == 0


def test_float32_is_exact_to_a_hundredth_of_a_degree_on_a_plane():
    k = camera(64)
    depth, truth = plane(k, (-0.4, 1.2, -1.0))
    found, valid = ops.normals_from_depth(depth.float(), k.float())
    assert float(degrees(found, truth.float())[valid].max()) < 0.02


@pytest.mark.parametrize(("method", "window", "limit"), [
    ("central", 3, 1.0), ("least_squares", 3, 1.0), ("least_squares", 5, 1.0), ("forward", 3, 2.8),
])  # fmt: skip
def test_on_a_sphere_within_60_degrees_of_the_viewing_ray(method, window, limit):
    k = camera()
    depth, truth, facing = sphere(k)
    found, valid = ops.normals_from_depth(depth, k, method=method, window=window)
    near = (depth > 0) & (facing > math.cos(math.radians(60)))
    assert near.sum() > 1200
    assert (valid | ~near).all()
    worst = float(degrees(found, truth)[near].max())
    assert worst < limit
    assert method != "forward" or worst > 1.5  # of first order: for comparison


def test_they_face_the_camera():
    k = camera()
    depth, _, _ = sphere(k, centre=(0.3, -0.2, 1.6))
    found, valid = ops.normals_from_depth(depth, k)
    assert float((found * ops.unproject(depth, k)).sum(1, keepdim=True)[valid].max()) < 0


def by_loop(depth, k, y, x, window, jump):
    """The weighted plane fit in inverse depth at one pixel with NumPy's solver; None where it is not determined."""
    r, rows, rhs = window // 2, [], []
    for q in range(-r, r + 1):
        for p in range(-r, r + 1):
            j, i = y + q, x + p
            if not (0 <= j < depth.shape[0] and 0 <= i < depth.shape[1]) or not depth[j, i] > 0:
                continue
            far = max(abs(p), abs(q), 1)
            if abs(depth[j, i] - depth[y, x]) > jump * far * min(depth[j, i], depth[y, x]):
                continue
            w = math.sqrt(math.comb(2 * r, p + r) * math.comb(2 * r, q + r))
            rows.append(w * (np.linalg.inv(k) @ [i + 0.5, j + 0.5, 1]))
            rhs.append(w / depth[j, i])
    if not depth[y, x] > 0 or len(rows) < 4 or np.linalg.matrix_rank(np.array(rows)) < 3:
        return None
    n = np.linalg.lstsq(np.array(rows), np.array(rhs), rcond=None)[0]
    return -n / np.linalg.norm(n)


@pytest.mark.parametrize("window", [3, 5])
def test_least_squares_is_the_fit_of_a_loop_on_a_rough_surface_with_holes_and_steps(window):
    rng = np.random.default_rng(window)
    k = camera(16)
    depth = 1 + 0.03 * rng.random((16, 16)) + 0.3 * (np.arange(16) > 7)
    depth[rng.random((16, 16)) < 0.3] = 0
    found, valid = ops.normals_from_depth(torch.tensor(depth)[None, None], k, window=window)
    compared = 0
    for y in range(16):
        for x in range(16):
            expected = by_loop(depth, k[0].numpy(), y, x, window, 0.05)
            if bool(valid[0, 0, y, x]):
                assert found[0, :, y, x].tolist() == pytest.approx(expected.tolist(), abs=1e-9)
                compared += 1
    assert compared > 80


@pytest.mark.parametrize("method", METHODS)
def test_central_and_forward_are_cross_products_of_differences_on_a_plane_and_not_across_a_step(method):
    k = camera(32)
    near, truth = plane(k, (0.3, 0.2, -1.0), 1.5, 32, 32)
    far, other = plane(k, (-0.5, 0.1, -1.0), 2.5, 32, 32)
    left = torch.arange(32) < 15
    depth, normal = torch.where(left, near, far), torch.where(left, truth, other)
    found, valid = ops.normals_from_depth(depth, k, method=method)
    assert float(degrees(found, normal)[valid].max()) < 1e-5
    there = {"forward": [False, True], "central": [False, False], "least_squares": [True, True]}[method]
    assert valid[0, 0, 10, 14:16].tolist() == there


def test_the_forward_normal_is_the_cross_product_of_its_two_tangents():
    k = camera(12)
    depth = 1 + 0.02 * torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    found, valid = ops.normals_from_depth(depth, k, method="forward")
    p = depth * directions(k, 12, 12)
    u, v = p[..., :-1, 1:] - p[..., :-1, :-1], p[..., 1:, :-1] - p[..., :-1, :-1]
    expected = torch.nn.functional.normalize(torch.linalg.cross(v, u, dim=1), dim=1)
    torch.testing.assert_close(found[..., :-1, :-1], expected)
    assert valid[..., :-1, :-1].all()
    assert not valid[..., -1].any()


def test_sparse_depth_has_normals_where_a_window_holds_enough():
    k = camera(96)
    depth, truth = plane(k, (0.4, -0.3, -1.0), height=96, width=96)
    scan = torch.zeros(96, 96, dtype=torch.bool)
    scan[::4, ::2] = True  # a LiDAR's lines
    sparse = torch.where(scan, depth, math.nan)
    found, valid = ops.normals_from_depth(sparse, k, window=9)
    assert (valid[0, 0] == scan).all()
    assert float(degrees(found, truth)[valid].max()) < 1e-5
    assert not ops.normals_from_depth(sparse, k, window=7)[1][0, 0, 1::4].any()
    assert not ops.normals_from_depth(sparse, k, window=3)[1].any()  # its lines are apart: one line is no plane
    random = torch.rand(96, 96, generator=torch.Generator().manual_seed(1)) < 0.05
    found, valid = ops.normals_from_depth(torch.where(random, depth, 0.0), k, window=15, fewest=5)
    assert valid.sum() > 0.8 * random.sum()
    assert float(degrees(found, truth)[valid].max()) < 1e-4


def test_a_guide_says_where_edges_are():
    k = camera(16)
    truth, _ = plane(k, (0.0, 0.0, -1.0), height=16, width=16)
    rough = truth + (torch.arange(16) % 2) * 0.5
    assert not ops.normals_from_depth(rough, k, method="central")[1].any()
    assert ops.normals_from_depth(rough, k, method="central", guide=truth)[1].sum() == 14 * 14
    holes = torch.where(torch.arange(16) < 8, truth, 0.0)
    assert not ops.normals_from_depth(truth, k, guide=holes)[1][..., 8:].any()


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_right_and_pixels_without_a_normal_have_none(method):
    k = camera(6, focal=8.0)
    depth = 1 + 0.1 * torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(2)).double()
    depth[..., 3:] += 1
    depth[0, 0, 1, 1] = math.nan
    mask = ~depth.isnan()
    guide = depth.clone()

    def f(d):
        return ops.normals_from_depth(torch.where(mask, d, math.nan), k, mask, method, guide=guide, jump=0.2)[0]

    safe = torch.where(mask, depth, 1.0).requires_grad_()
    assert torch.autograd.gradcheck(f, safe)
    raw = depth.clone().requires_grad_()
    ops.normals_from_depth(raw, k, mask, method, jump=0.2)[0].square().sum().backward()
    assert raw.grad.isfinite().all()


def test_predictions_of_zero_and_below_have_finite_gradients():
    k = camera(8)
    truth = torch.full((1, 1, 8, 8), 2.0).double()
    wild = torch.linspace(-5, 5, 64).double().reshape(1, 1, 8, 8).requires_grad_()
    found, valid = ops.normals_from_depth(wild, k, guide=truth)
    assert valid.all()
    found.sum().backward()
    assert wild.grad.isfinite().all()


@pytest.mark.parametrize(("options", "sentence"), [
    ({"method": "sobel"}, "method must be one of forward, central, least_squares"), ({"window": 4}, "window must be"),
    ({"window": 1}, "window must be"), ({"fewest": 2}, "fewest must be"), ({"jump": -1.0}, "jump must be above 0"),
])  # fmt: skip
def test_wrong_settings_are_sentences(options, sentence):
    with pytest.raises(UserError, match=sentence):
        ops.normals_from_depth(torch.ones(1, 1, 4, 4).double(), camera(4), **options)
