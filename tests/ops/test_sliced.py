import numpy as np
import ot
import pytest
import torch
from scipy.stats import wasserstein_distance

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops.sliced import directions


def sets(b, n, m, d=3):
    g = torch.Generator().manual_seed(n + m)
    return torch.rand(b, n, d, generator=g).double(), torch.rand(b, m, d, generator=g).double()


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 17), (1, 9), (12, 18)])
def test_p1_is_scipys_distance_of_each_projection(n, m, d):
    x, y = sets(2, n, m, d)
    axes = directions(16, d).numpy()
    got = ops.sliced_wasserstein(x, y, p=1, projections=16)
    for i in range(2):
        expected = np.mean([wasserstein_distance(x[i].numpy() @ a, y[i].numpy() @ a) for a in axes])
        assert float(got[i]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 25)])
def test_p2_is_the_square_of_pots_distance_for_the_same_directions(n, m):
    x, y = sets(1, n, m)
    axes = directions(32, 3).numpy().T
    expected = ot.sliced_wasserstein_distance(x[0].numpy(), y[0].numpy(), projections=axes, p=2) ** 2
    assert float(ops.sliced_wasserstein(x, y, projections=32)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("m", [6, 4])
def test_gradcheck(p, m):
    x, y = sets(2, 6, m)
    x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: ops.sliced_wasserstein(a, b, p=p, projections=5), (x, y))


@pytest.mark.parametrize("d", [2, 3])
def test_a_translation_costs_its_square_over_the_dimension(d):
    x, _ = sets(1, 50, 1, d)
    shift = torch.linspace(0.3, 0.9, d, dtype=torch.float64)
    value = float(ops.sliced_wasserstein(x, x + shift, projections=512))
    assert value == pytest.approx(float((shift**2).sum()) / d, rel=5e-3)


def test_zero_and_its_gradient_at_equal_sets_in_any_order():
    x, _ = sets(1, 50, 1)
    z = x.flip(1).clone().requires_grad_()
    value = ops.sliced_wasserstein(z, x)
    value.sum().backward()
    assert float(value.detach()) == 0
    assert float(z.grad.abs().max()) == 0


def test_random_directions_come_from_the_generator_alone():
    x, y = sets(1, 20, 20)
    one, two, other = (
        float(ops.sliced_wasserstein(x, y, generator=torch.Generator().manual_seed(s))) for s in (0, 0, 1)
    )
    assert one == two != other
    assert directions(1000, 3).norm(dim=1).allclose(torch.ones(1000, dtype=torch.float64))


@pytest.mark.parametrize("unit", [1e-15, 1.0, 1e15])
def test_scale_symmetry_and_hostile_sets(unit):
    x, y = sets(1, 40, 30)
    value = float(ops.sliced_wasserstein(x, y))
    assert float(ops.sliced_wasserstein(x * unit, y * unit)) == pytest.approx(value * unit**2)
    assert float(ops.sliced_wasserstein(y, x)) == pytest.approx(value)
    same = x[:, :1].expand(1, 40, 3).clone().requires_grad_()
    ops.sliced_wasserstein(same, y).sum().backward()
    assert bool(same.grad.isfinite().all())


def test_bad_settings_are_one_sentence():
    x, y = sets(1, 5, 5)
    with pytest.raises(UserError, match="p must be 1 or 2"):
        ops.sliced_wasserstein(x, y, p=3)
    with pytest.raises(UserError, match="at least one projection"):
        ops.sliced_wasserstein(x, y, projections=0)
    with pytest.raises(UserError, match="empty"):
        ops.sliced_wasserstein(x[:, :0], y)


def test_half_precision_is_lifted():
    x, y = (p.bfloat16() for p in sets(1, 30, 30))
    assert ops.sliced_wasserstein(x, y).dtype == torch.float32
