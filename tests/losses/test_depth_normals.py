"""Losses between directions: what makes them 0, loops, gradients, and what cannot lower them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lit3d import losses, ops
from lit3d.errors import UserError
from lit3d.losses.depth_normals import triplet_shares
from tests.ops.surfaces import camera, degrees, directions, plane, sphere


def scene(size=10, seed=0):
    """Rough depth and any normals over a gentle true surface with a step, holes and a mask."""
    g = torch.Generator().manual_seed(seed)
    k = camera(size, focal=12.0)
    truth = 1 + 0.02 * torch.rand(1, 1, size, size, generator=g).double() + (torch.arange(size) > 5) * 0.5
    depth = truth + 0.1 * torch.rand(1, 1, size, size, generator=g)
    normal = torch.nn.functional.normalize(torch.randn(1, 3, size, size, generator=g).double(), dim=1)
    mask = torch.rand(1, 1, size, size, generator=g) < 0.9
    truth[0, 0, 2, 2] = math.nan
    return depth, normal, truth, mask, k


def ones(like):
    return torch.ones_like(like, dtype=torch.bool)


def test_they_are_zero_where_the_surface_is_right():
    k = camera(32)
    depth, normal = plane(k, (0.5, -0.3, -1.0), height=32, width=32)
    mask = ones(depth)
    for value in (
        losses.depth_normal(depth, normal, depth, mask, k), losses.normal_cosine(normal, normal, mask),
        losses.depth_normal_consistency(depth, normal, depth, mask, k), losses.virtual_normal(depth, depth, mask, k),
    ):  # fmt: skip
        assert abs(float(value)) < 1e-12
    bigger, wavy = 1.3 * depth, depth + 0.05 * torch.sin(torch.arange(32).double())
    assert abs(float(losses.depth_normal(bigger, normal, depth, mask, k))) < 1e-12  # a wrong scale is free
    assert float(losses.depth_normal(wavy, normal, depth, mask, k)) > 0.05


def test_depth_normal_is_the_cosine_of_the_angle():
    k = camera(16)
    truth, normal = plane(k, (0.0, 0.0, -1.0), height=16, width=16)
    tilted, other = plane(k, (0.5, 0.0, -1.0), height=16, width=16)
    angle = math.atan(0.5)
    assert float(degrees(normal, other).mean()) == pytest.approx(math.degrees(angle))
    got = losses.depth_normal(tilted, normal, truth, ones(truth), k)
    assert float(got) == pytest.approx(1 - math.cos(angle))
    assert float(losses.normal_cosine(3 * other, normal, ones(truth))) == pytest.approx(1 - math.cos(angle))


def test_depth_normal_is_not_lowered_by_roughness_and_not_asked_across_edges():
    k = camera(24)
    truth, normal = plane(k, (0.0, 0.0, -1.0), height=24, width=24)
    rough = truth + (torch.arange(24) % 2) * 0.5  # every pixel of it is an edge
    assert float(losses.depth_normal(rough, normal, truth, ones(truth), k, method="forward")) > 0.5
    step = truth + (torch.arange(24) > 11) * 0.5
    assert float(losses.depth_normal(step, normal, step, ones(truth), k)) < 1e-12


def test_the_truth_costs_nothing_at_a_crease_against_its_own_normals():
    k = camera(24)
    left, one = plane(k, (1.0, 0.0, -1.0), 2.0, 24, 24)
    right, other = plane(k, (-1.0, 0.0, -1.0), 2.0, 24, 24)
    truth, normal = torch.maximum(left, right), torch.where(left > right, one, other)
    mask = ones(truth)
    assert float(losses.depth_normal(truth, normal, truth, mask, k)) > 0.005
    depth = truth.clone().requires_grad_()
    value = losses.depth_normal(depth, normal, truth, mask, k, against="depth")
    value.sum().backward()
    assert float(value.detach().abs()) < 1e-12
    assert depth.grad.abs().max() < 1e-9
    assert float(losses.depth_normal(truth + 0.1 * left, normal, truth, mask, k, against="depth")) > 0.001
    with pytest.raises(UserError, match="against must be normal or depth"):
        losses.depth_normal(truth, normal, truth, mask, k, against="truth")


def test_pixels_without_a_true_normal_do_not_count():
    depth, normal, truth, mask, k = scene()
    normal[0, :, 4], normal[0, 0, 5] = 0, math.nan
    known = ones(mask)
    known[0, 0, 4:6] = False
    found, valid = ops.normals_from_depth(depth, k, mask, guide=truth)
    counted = (valid & known)[0, 0]
    expected = 1 - (found * normal).sum(1)[0][counted].mean()
    assert float(losses.depth_normal(depth, normal, truth, mask, k)) == pytest.approx(float(expected))
    both = (mask & known)[0, 0]
    expected = 1 - (normal * found.nan_to_num()).sum(1)[0][both & (found[0, 2] != 0)].mean()
    assert float(losses.normal_cosine(normal, normal, mask)) == pytest.approx(0, abs=1e-12)


def test_orthogonality_is_what_loops_over_neighbours_say():
    depth, normal, truth, mask, k = scene()
    got = losses.depth_normal_consistency(depth, normal, truth, mask, k, normals=0.0)
    p = (depth * directions(k, 10, 10))[0].numpy()
    n, g, ok = normal[0].numpy(), truth[0, 0].numpy(), (mask & truth.isfinite())[0, 0].numpy()
    found = []
    for y in range(10):
        for x in range(10):
            for j, i in ((y, x + 1), (y, x - 1), (y + 1, x), (y - 1, x)):
                if 0 <= j < 10 and 0 <= i < 10 and ok[y, x] and ok[j, i]:
                    if abs(g[y, x] - g[j, i]) > 0.05 * min(g[y, x], g[j, i]):
                        continue
                    t = p[:, j, i] - p[:, y, x]
                    found.append(abs(n[:, y, x] @ t / np.linalg.norm(t)))
    assert float(got) == pytest.approx(np.mean(found))


def test_consistency_is_blind_to_a_wrong_surface_that_fits_itself():
    k = camera(16)
    truth, _ = plane(k, (0.0, 0.0, -1.0), height=16, width=16)
    wrong, normal = plane(k, (0.8, 0.4, -1.0), height=16, width=16)
    assert float(losses.depth_normal_consistency(wrong, normal, truth, ones(truth), k)) < 1e-12


def test_the_two_parts_of_consistency_add_with_their_weights():
    depth, normal, truth, mask, k = scene()
    one = losses.depth_normal_consistency(depth, normal, truth, mask, k, normals=0.0)
    two = losses.depth_normal_consistency(depth, normal, truth, mask, k, tangents=0.0)
    both = losses.depth_normal_consistency(depth, normal, truth, mask, k, tangents=2.0, normals=3.0)
    torch.testing.assert_close(both, 2 * one + 3 * two)
    assert float(one) > 0.1
    assert float(two) > 0.1


def test_virtual_normal_is_what_a_loop_over_its_triplets_says():
    depth, _, truth, mask, k = scene(12, seed=3)
    got = losses.virtual_normal(depth, truth, mask, k, ratio=0.5, least=0.1, drop=0.25)
    ok = (mask & truth.isfinite())[0, 0].numpy().ravel()
    pixels = np.flatnonzero(ok)
    rays = directions(k, 12, 12)[0].flatten(1).numpy()
    d, g = depth.flatten().numpy(), truth.flatten().numpy()
    errors = []
    for shares in triplet_shares(72).T.tolist():
        i, j, l = (pixels[int(s * len(pixels))] for s in shares)  # noqa: E741
        a, b, c = (rays[:, m] * g[m] for m in (i, j, l))
        sides = [b - a, c - b, a - c]
        if min(map(np.linalg.norm, sides)) < 0.1:
            continue
        angles = [math.acos(np.clip(-u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1))
                  for u, v in zip(sides, [*sides[1:], sides[0]], strict=True)]  # fmt: skip
        if math.degrees(min(angles)) < 30 or math.degrees(max(angles)) > 150:
            continue
        normals = []
        for z in (d, g):
            a, b, c = (rays[:, m] * z[m] for m in (i, j, l))
            n = np.cross(b - a, c - a)
            normals.append(n / np.linalg.norm(n))
        errors.append(np.abs(normals[0] - normals[1]).sum())
    errors = sorted(errors)[int(0.25 * len(errors)) :]
    assert len(errors) > 15
    assert float(got) == pytest.approx(np.mean(errors))


def test_triplets_spread_evenly_and_are_the_same_each_time():
    shares = triplet_shares(1000)
    assert (shares >= 0).all()
    assert (shares < 1).all()
    eighths = (shares > 0.5).long() * torch.tensor([[1], [2], [4]])
    counts = torch.bincount(eighths.sum(0), minlength=8)
    assert counts.min() > 115
    assert counts.max() < 135
    depth, _, truth, mask, k = scene()
    values = [float(losses.virtual_normal(depth, truth, mask, k)) for _ in range(2)]
    assert values[0] == values[1]


def test_the_global_generator_is_left_alone():
    depth, _, truth, mask, k = scene()
    before = torch.random.get_rng_state()
    losses.virtual_normal(depth, truth, mask, k)
    assert (torch.random.get_rng_state() == before).all()


CALLS = [
    lambda d, n, g, m, k: losses.depth_normal(d, n, g, m, k),
    lambda d, n, g, m, k: losses.depth_normal(d, n, g, m, k, method="central"),
    lambda d, n, g, m, k: losses.depth_normal(d, n, g, m, k, against="depth"),
    lambda d, n, g, m, k: losses.depth_normal_consistency(d, n, g, m, k),
    lambda d, n, g, m, k: losses.virtual_normal(d, g, m, k, ratio=1.0),
    lambda d, n, g, m, k: losses.normal_cosine(n, torch.ones_like(n).detach(), m),
]


@pytest.mark.parametrize("call", CALLS)
def test_gradients(call):
    depth, normal, truth, mask, k = scene(6)
    given = (depth.requires_grad_(), normal.requires_grad_())
    assert torch.autograd.gradcheck(lambda d, n: call(d, n, truth, mask, k), given)


VALUES = st.sampled_from([0.0, -1.0, math.nan, math.inf, 1e-30, 1e-3, 1.0, 1.02, 1.04, 2.0, 1000.0])


@settings(max_examples=60, deadline=None)
@given(
    truth=st.lists(VALUES, min_size=25, max_size=25),
    mask=st.lists(st.booleans(), min_size=25, max_size=25),
    pred=st.lists(st.sampled_from([-100.0, -1.0, 0.0, 1e-6, 1.0, 2.0, 1e4]), min_size=25, max_size=25),
    length=st.sampled_from([0.0, 1e-20, 1.0, 1e4]),
    call=st.sampled_from(CALLS),
)
def test_no_truth_makes_a_loss_or_a_gradient_that_is_not_finite(truth, mask, pred, length, call):
    depth = torch.tensor(pred).reshape(1, 1, 5, 5).requires_grad_()
    normal = (length * torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))).requires_grad_()
    target, ok = torch.tensor(truth).reshape(1, 1, 5, 5), torch.tensor(mask).reshape(1, 1, 5, 5)
    value = call(depth, normal, target, ok, camera(5, 5.0).float())
    value.sum().backward()
    assert value.isfinite().all()
    for tensor in (depth, normal):
        assert tensor.grad is None or tensor.grad.isfinite().all()


@pytest.mark.parametrize("call", CALLS)
def test_a_sample_without_a_valid_pixel_costs_nothing(call):
    depth, normal, truth, mask, k = scene()
    depth.requires_grad_()
    normal.requires_grad_()
    value = call(depth, normal, truth, torch.zeros_like(mask), k)
    assert value.tolist() == [0]
    value.sum().backward()
    assert all(t.grad is None or float(t.grad.abs().sum()) == 0 for t in (depth, normal))


@pytest.mark.parametrize("call", CALLS[:5])
def test_a_prediction_that_is_not_finite_is_not_hidden(call):
    depth, normal, truth, mask, k = scene()
    assert call(torch.full_like(depth, math.nan), normal, truth, mask, k).isfinite().logical_not().all()


def test_wrong_settings_are_sentences():
    depth, _, truth, mask, k = scene()
    for options in ({"ratio": 0.0}, {"drop": 1.0}):
        with pytest.raises(UserError, match="ratio must"):
            losses.virtual_normal(depth, truth, mask, k, **options)


def test_a_sphere_with_offset_depth_keeps_its_normals_where_noise_of_equal_size_does_not():
    k = camera()
    truth, normal, _ = sphere(k)
    mask = truth > 0
    noise = 0.02 * (2 * (torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) > 0.5).double() - 1)
    smooth, noisy = truth + 0.02, truth + noise
    assert float(losses.l1(smooth, truth, mask)) == pytest.approx(float(losses.l1(noisy, truth, mask)))
    calm, loud = (float(losses.depth_normal(d, normal, truth, mask, k)) for d in (smooth, noisy))
    assert calm < 0.02 < 0.1 < loud
