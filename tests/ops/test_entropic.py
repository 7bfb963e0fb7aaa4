import math
import threading
import warnings
from pathlib import Path

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops import potentials, softmin
from lit3d.ops.kernels import softmin as kernels


def sets(b, n, m, d=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(n + m)
    return torch.rand(b, n, d, generator=g).to(dtype), torch.rand(b, m, d, generator=g).to(dtype)


def pot_value(x, y, p, blur):
    """<plan, cost> + epsilon KL(plan | product), from POT's plan in the log domain."""
    cost, n, m = cdist(x, y) ** p, len(x), len(y)
    plan = ot.sinkhorn(
        np.full(n, 1 / n), np.full(m, 1 / m), cost, blur**p, method="sinkhorn_log", numItermax=3000, stopThr=1e-10
    )
    kl = np.where(plan > 0, plan * np.log(np.maximum(plan, 1e-300) * n * m), 0).sum()
    return (plan * cost).sum() + blur**p * kl


def surfaces(b, n, dtype=torch.float64):
    """Two samples of one sphere: between them small blurs converge slowest."""
    g = torch.Generator().manual_seed(n)
    return [torch.nn.functional.normalize(torch.randn(b, n, 3, generator=g, dtype=dtype), dim=-1) / 2 for _ in "xy"]


def newton(x, y, blur):
    """Value and gradient to x of OT(x, y), p = 2: damped Newton steps on the dual, to a marginal error of 1e-10."""
    cost, epsilon, n = torch.cdist(x, y) ** 2, 3.0, len(x)
    f, g = torch.zeros(n, dtype=x.dtype), torch.zeros(n, dtype=x.dtype)

    def update(matrix, h):
        return epsilon * (math.log(n) - torch.logsumexp((h - matrix) / epsilon, 1))

    while epsilon > blur**2:
        epsilon = max(epsilon * 0.6, blur**2)
        for _ in range(10):
            f = update(cost, g)
            g = update(cost.T, f)
    for _ in range(100):
        plan = ((f[:, None] + g - cost) / epsilon).exp() / n**2
        if float((plan.sum(1) - 1 / n).abs().sum()) < 1e-10:
            return float(f.mean() + g.mean()), 2 * (x / n - plan @ y)
        slope = torch.diag(plan.sum(1)) - (plan / plan.sum(0)) @ plan.T + 1 / n**2
        step, size = torch.linalg.solve(slope, (1 / n - plan.sum(1)) * epsilon), 1.0
        while (f + size * step).mean() + update(cost.T, f + size * step).mean() < f.mean() + g.mean() and size > 1e-6:
            size /= 2
        f = update(cost, update(cost.T, f + size * step))
        g = update(cost.T, f)
    raise AssertionError("the reference did not converge")


@pytest.mark.parametrize(("n", "blur"), [(150, 0.05), (400, 0.01)])
def test_the_default_is_newtons_value_and_gradient_between_samples_of_one_surface(n, blur):
    x, y = surfaces(1, n)
    value, slope = newton(x[0], y[0], blur)
    z = x.clone().requires_grad_()
    got = ops.sinkhorn(z, y, blur=blur, debiased=False)
    got.sum().backward()
    assert float(got.detach()) == pytest.approx(value, rel=1e-3)
    assert float(got.detach()) <= value * (1 + 1e-9)  # a dual value
    assert float((z.grad[0] * slope).sum() / z.grad.norm() / slope.norm()) > 0.99


@pytest.mark.filterwarnings("ignore:Sinkhorn did not converge")  # POT's rounding, above its own threshold
@pytest.mark.parametrize(("p", "blur"), [(2, 0.3), (2, 0.2), (1, 0.1)])
@pytest.mark.parametrize(("n", "m", "d"), [(20, 20, 3), (12, 25, 2), (1, 6, 3)])
def test_values_are_pots(n, m, d, p, blur):
    x, y = sets(2, n, m, d)
    got, plain = ops.sinkhorn(x, y, p=p, blur=blur), ops.sinkhorn(x, y, p=p, blur=blur, debiased=False)
    for i in range(2):
        a, b = x[i].numpy(), y[i].numpy()
        cross, own = pot_value(a, b, p, blur), (pot_value(a, a, p, blur) + pot_value(b, b, p, blur)) / 2
        assert float(plain[i]) == pytest.approx(cross, rel=2e-4)
        assert float(got[i]) == pytest.approx(cross - own, rel=1e-3, abs=1e-5)


def test_a_tight_tolerance_is_pots_value_to_many_digits():
    x, y = sets(1, 15, 12)
    got = float(ops.sinkhorn(x, y, blur=0.2, debiased=False, tolerance=1e-9))
    assert got == pytest.approx(pot_value(x[0].numpy(), y[0].numpy(), 2, 0.2), rel=1e-8)


@pytest.mark.parametrize("p", [1, 2])
def test_the_default_is_converged_on_two_samples_of_one_surface(p):
    x, y = surfaces(1, 300)
    found = []
    for settings in ({}, {"tolerance": 1e-4, "iterations": 50_000}):
        z = x.clone().requires_grad_()
        value = ops.sinkhorn(z, y, p=p, **settings)
        value.sum().backward()
        found.append((float(value.detach()), z.grad))
    (value, slope), (right, right_slope) = found
    assert value == pytest.approx(right, rel=2e-3)
    assert float((slope * right_slope).sum() / slope.norm() / right_slope.norm()) > 0.995
    assert float((slope - right_slope).norm() / right_slope.norm()) < 0.1


def test_scaling_changes_the_default_value_within_the_tolerance_only():
    x, y = surfaces(2, 300)
    values = [ops.sinkhorn(x, y, scaling=s) for s in (0.3, 0.7, 0.95)]
    torch.testing.assert_close(values[0], values[1], rtol=2e-3, atol=0)
    torch.testing.assert_close(values[2], values[1], rtol=2e-3, atol=0)


def test_too_few_iterations_are_said():
    x, y = surfaces(3, 200)
    with pytest.warns(UserWarning, match="in 3 of 3 samples, first 0; raise blur"):
        ops.sinkhorn(x, y, iterations=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.sinkhorn(x, y)


def test_tends_to_the_exact_transport():
    x, y = sets(1, 60, 60)
    exact = float(ops.emd(x, y, squared=True))
    assert float(ops.sinkhorn(x, y, blur=0.003, scaling=0.9)) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(
    ("debiased", "blur"), [(True, 0.01), (True, 0.4), (False, 0.01)]
)  # 0.4 moves mass inside a set
def test_gradients_at_the_defaults_are_the_slopes_of_the_value(p, debiased, blur):
    x, y = sets(1, 7, 5)
    ends = [s.clone().requires_grad_() for s in (x, y)]
    ops.sinkhorn(*ends, p=p, debiased=debiased, blur=blur).sum().backward()
    for k, points in enumerate((x, y)):
        numeric = torch.zeros_like(points)
        for at in np.ndindex(*points.shape):
            step = torch.zeros_like(points)
            step[at] = 1e-4
            up, down = (
                ops.sinkhorn(
                    *(q + s * step if q is points else q for q in (x, y)),
                    p=p,
                    debiased=debiased,
                    blur=blur,
                    tolerance=1e-6,
                )
                for s in (1, -1)
            )
            numeric[at] = float(up - down) / 2e-4
        assert float((ends[k].grad - numeric).norm() / numeric.norm()) < 0.02


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_kernel_agrees_with_the_reference(p, dtype):
    x, y = sets(3, 70, 45, dtype=dtype)
    potential, epsilon = torch.rand(3, 45).to(dtype), torch.tensor([[0.5], [0.01], [1e-4]], dtype=dtype)
    single = dtype == torch.float32
    fast, slow = (f(x, y, potential, epsilon, p) for f in (softmin.softmin, softmin.softmin_reference))
    torch.testing.assert_close(fast, slow, atol=2e-6 if single else 1e-14, rtol=1e-5 if single else 1e-12)
    fast, slow = (f(x, y, potential, epsilon, p) for f in (softmin.mean_slope, softmin.mean_slope_reference))
    torch.testing.assert_close(fast, slow, atol=5e-3 if single else 1e-11, rtol=5e-3 if single else 1e-10)


@pytest.mark.parametrize(("dtype", "least", "bound"), [(np.float32, -126, 3e-7), (np.float64, -1022, 1e-15)])
def test_exp2_over_its_range(dtype, least, bound):
    whole = np.arange(least, 1, dtype=dtype)  # and both sides of where the series changes its centre
    t = np.concatenate([np.linspace(least, 0, 100_001).astype(dtype), whole, whole[1:] - dtype(0.5)])
    t = np.concatenate([t, np.nextafter(t, dtype(-np.inf), dtype=dtype)[t > least]])
    out = np.empty_like(t)
    kernels.exp2_all(t, out)
    assert float(np.abs(out / np.exp2(t.astype(np.longdouble)) - 1).max()) < bound
    below = np.array([1.5 * least, -np.inf], dtype)
    kernels.exp2_all(below, out[:2])
    np.testing.assert_array_equal(out[:2], np.exp2(dtype(least)))


@pytest.mark.parametrize(("p", "blur"), [(2, 0.02), (2, 0.2), (1, 0.02)])
def test_all_pairs_in_plain_torch_settle_at_the_same_value(monkeypatch, p, blur):
    x, y = surfaces(2, 80)
    value = ops.sinkhorn(x, y, p=p, blur=blur)
    monkeypatch.setattr(potentials, "_on_lists", potentials._on_all_pairs)
    monkeypatch.setattr(potentials, "softmin", softmin.softmin_reference)
    torch.testing.assert_close(ops.sinkhorn(x, y, p=p, blur=blur), value, rtol=2e-3, atol=1e-7)


def test_lists_that_do_not_fit_give_way_to_all_pairs(monkeypatch):
    x, y = surfaces(2, 120)
    value = ops.sinkhorn(x, y, blur=0.05)
    monkeypatch.setattr(potentials, "ROOM", 0)
    monkeypatch.setattr(potentials, "LAST_ROOM", 1)
    torch.testing.assert_close(ops.sinkhorn(x, y, blur=0.05), value, rtol=2e-3, atol=0)


def test_zero_with_gradient_zero_at_equal_sets():
    x, _ = sets(2, 40, 1, dtype=torch.float32)
    for blur in (0.01, 0.3):
        z = x.clone().requires_grad_()
        value = ops.sinkhorn(z, x, blur=blur)
        value.sum().backward()
        assert float(value.detach().abs().max()) == 0
        assert float(z.grad.abs().max()) == 0


def test_equal_samples_are_zero_beside_others():
    x, y = sets(3, 40, 40)
    y[1] = x[1]
    value = ops.sinkhorn(x, y)
    assert float(value[1]) == 0
    assert float(value[[0, 2]].min()) > 1e-3
    assert abs(float(ops.sinkhorn(x, x.flip(1))[0])) < 1e-7  # the same set in another order


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_scale_law_symmetry_and_order(unit, dtype):
    x, y = sets(1, 30, 20, dtype=dtype)
    value = float(ops.sinkhorn(x, y, blur=0.05))
    assert float(ops.sinkhorn(x * unit, y * unit, blur=0.05 * unit)) == pytest.approx(value * unit**2, rel=1e-3)
    assert float(ops.sinkhorn(y, x, blur=0.05)) == pytest.approx(value, rel=1e-3)
    assert float(ops.sinkhorn(x.flip(1), y, blur=0.05)) == pytest.approx(value, rel=1e-3)


def test_a_batch_of_none():
    x, y = torch.zeros(0, 5, 3, requires_grad=True), torch.zeros(0, 4, 3)
    value = ops.sinkhorn(x, y)
    value.sum().backward()
    assert value.shape == (0,)
    assert x.grad.shape == x.shape


def test_translation_law():
    x, y = sets(1, 30, 30)
    value, shift = ops.sinkhorn(x, y), torch.tensor([3.0, -2.0, 1.0], dtype=x.dtype)
    torch.testing.assert_close(ops.sinkhorn(x + shift, y + shift), value, rtol=1e-6, atol=0)
    apart = shift.square().sum() + 2 * (shift * (x - y).mean(1)).sum(-1)  # |x + t - y|^2, in the mean over any plan
    torch.testing.assert_close(ops.sinkhorn(x + shift, y), value + apart, rtol=1e-4, atol=0)


def test_samples_do_not_depend_on_the_batch():
    x, y = surfaces(3, 150, torch.float32)
    x[1] *= 7  # another schedule
    y[2] = x[2]
    together = ops.sinkhorn(x, y)
    for i in range(3):
        torch.testing.assert_close(ops.sinkhorn(x[i : i + 1], y[i : i + 1])[0], together[i], rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast_are_computed_in_float32(dtype):
    x, y = (s.to(dtype) for s in surfaces(1, 60))
    half = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = ops.sinkhorn(half, y)
    value.sum().backward()
    whole = x.float().requires_grad_()
    right = ops.sinkhorn(whole, y.float())
    right.sum().backward()
    assert value.dtype == torch.float32
    assert half.grad.dtype == dtype
    torch.testing.assert_close(value, right, rtol=0, atol=0)
    torch.testing.assert_close(half.grad, whole.grad.to(dtype), rtol=0, atol=0)


def test_huge_units():
    x, y = sets(2, 20, 20, dtype=torch.float32)
    far = x * torch.tensor([1.0, 1e25])[:, None, None], y * torch.tensor([1.0, 1e25])[:, None, None]
    with pytest.raises(UserError, match="sample 1 exceeds torch.float32: bring the sets to a smaller unit, or use flo"):
        ops.sinkhorn(*far, blur=1e24)
    z = (x.double() * 1e25).requires_grad_()
    value = ops.sinkhorn(z, y.double() * 1e25, blur=1e24)
    value.sum().backward()
    torch.testing.assert_close(value, ops.sinkhorn(x.double(), y.double(), blur=0.1) * 1e50, rtol=1e-3, atol=0)
    assert bool(z.grad.isfinite().all())
    single = ops.sinkhorn(x * 1e25, y * 1e25, p=1, blur=1e24)
    torch.testing.assert_close(single, ops.sinkhorn(x, y, p=1, blur=0.1) * 1e25, rtol=1e-3, atol=0)


def test_backward_keeps_no_matrix_of_pairs():
    x, y = sets(1, 700, 600, dtype=torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
        ops.sinkhorn(x.requires_grad_(), y)
    assert 0 < sum(kept) < 10 * (700 + 600)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_stays_far_under_a_matrix_of_pairs():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    n = 5000
    x, y = surfaces(1, n, torch.float32)
    ops.sinkhorn(x[:, :50], y[:, :50])
    peak, done, before = [0], threading.Event(), resident()

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], resident())

    thread = threading.Thread(target=watch)
    thread.start()
    ops.sinkhorn(x.requires_grad_(), y, blur=0.05, tolerance=0.3).sum().backward()
    done.set()
    thread.join()
    assert 0 < peak[0]
    assert peak[0] - before < n * n * 4 / 3


@pytest.mark.parametrize("kind", ["one point", "duplicates", "far", "all one point"])
def test_hostile_sets_are_finite(kind):
    x, y = sets(2, 30, 30, dtype=torch.float32)
    if kind in ("one point", "all one point"):
        x = x[:, :1].expand(2, 30, 3)
    if kind == "all one point":
        y = x
    if kind == "duplicates":
        x, y = (x * 2).round(), (y * 2).round()
    if kind == "far":
        y = y * 1e-3 + 1e3
    x = x.clone().requires_grad_()
    value = ops.sinkhorn(x, y)
    value.sum().backward()
    assert bool(value.isfinite().all())
    assert bool(x.grad.isfinite().all())


def test_bad_settings_are_one_sentence():
    x, y = sets(1, 5, 5)
    with pytest.raises(UserError, match="p must be 1 or 2"):
        ops.sinkhorn(x, y, p=3)
    with pytest.raises(UserError, match="blur is a length"):
        ops.sinkhorn(x, y, blur=0.0)
    with pytest.raises(UserError, match="scaling must lie between 0 and 1"):
        ops.sinkhorn(x, y, scaling=1.0)
    with pytest.raises(UserError, match="tolerance and iterations must be positive"):
        ops.sinkhorn(x, y, tolerance=0.0)
