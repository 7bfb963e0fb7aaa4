import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops import entropic


def sets(b, n, m, d=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(n + m)
    return torch.rand(b, n, d, generator=g).to(dtype), torch.rand(b, m, d, generator=g).to(dtype)


def pot_value(x, y, p, blur):
    """<plan, cost> + epsilon KL(plan | product), from POT's plan in the log domain."""
    cost, n, m = cdist(x, y) ** p, len(x), len(y)
    plan = ot.sinkhorn(
        np.full(n, 1 / n), np.full(m, 1 / m), cost, blur**p, method="sinkhorn_log", numItermax=20_000, stopThr=1e-12
    )
    kl = np.where(plan > 0, plan * np.log(np.maximum(plan, 1e-300) * n * m), 0).sum()
    return (plan * cost).sum() + blur**p * kl


@pytest.mark.parametrize(("p", "blur"), [(2, 0.3), (1, 0.1)])
@pytest.mark.parametrize(("n", "m", "d"), [(20, 20, 3), (12, 25, 2), (1, 6, 3)])
def test_values_are_pots(n, m, d, p, blur):
    x, y = sets(2, n, m, d)
    got = ops.sinkhorn(x, y, p=p, blur=blur, scaling=0.95)
    plain = ops.sinkhorn(x, y, p=p, blur=blur, scaling=0.95, debiased=False)
    for i in range(2):
        a, b = x[i].numpy(), y[i].numpy()
        cross, own = pot_value(a, b, p, blur), (pot_value(a, a, p, blur) + pot_value(b, b, p, blur)) / 2
        assert float(plain[i]) == pytest.approx(cross, rel=2e-3)
        assert float(got[i]) == pytest.approx(cross - own, rel=2e-2, abs=1e-4)


def test_tends_to_the_exact_transport():
    x, y = sets(1, 60, 60)
    exact = float(ops.emd(x, y, squared=True))
    assert float(ops.sinkhorn(x, y, blur=0.003, scaling=0.9)) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_are_the_slopes_of_the_value(p):
    x, y = sets(1, 7, 5)
    x.requires_grad_()
    y.requires_grad_()
    value = ops.sinkhorn(x, y, p=p, blur=0.4, scaling=0.97)
    for points in (x, y):
        (slope,) = torch.autograd.grad(value.sum(), points, retain_graph=True)
        numeric = torch.zeros_like(points)
        for i in range(points.shape[1]):
            for d in range(3):
                step = torch.zeros_like(points)
                step[0, i, d] = 1e-4
                ends = [
                    ops.sinkhorn(*(q + s * step if q is points else q for q in (x, y)), p=p, blur=0.4, scaling=0.97)
                    for s in (1, -1)
                ]
                numeric[0, i, d] = float((ends[0] - ends[1]).detach()) / 2e-4
        torch.testing.assert_close(slope, numeric, atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize("p", [1, 2])
def test_compiled_kernel_agrees_with_the_reference(p):
    x, y = sets(3, 70, 45, dtype=torch.float32)
    potential, epsilon = torch.rand(3, 45), torch.tensor([[0.5], [0.01], [1e-4]])
    fast, slow = (f(x, y, potential, epsilon, p) for f in (entropic.softmin, entropic.softmin_reference))
    torch.testing.assert_close(fast, slow, atol=2e-6, rtol=1e-5)
    fast, slow = (f(x, y, potential, epsilon, p) for f in (entropic.mean_slope, entropic.mean_slope_reference))
    torch.testing.assert_close(fast, slow, atol=5e-3, rtol=5e-3)


def test_zero_with_gradient_zero_at_equal_sets():
    x, _ = sets(2, 40, 1, dtype=torch.float32)
    z = x.clone().requires_grad_()
    value = ops.sinkhorn(z, x)
    value.sum().backward()
    assert float(value.detach().abs().max()) < 1e-6
    assert float(z.grad.abs().max()) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_scale_law_symmetry_and_order(unit, dtype):
    x, y = sets(1, 30, 20, dtype=dtype)
    value = float(ops.sinkhorn(x, y, blur=0.05))
    assert float(ops.sinkhorn(x * unit, y * unit, blur=0.05 * unit)) == pytest.approx(value * unit**2, rel=1e-2)
    assert float(ops.sinkhorn(y, x, blur=0.05)) == pytest.approx(value, rel=1e-4)
    assert float(ops.sinkhorn(x.flip(1), y, blur=0.05)) == pytest.approx(value, rel=1e-3)


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
