"""Every set distance as a loss: values and gradients against independent references, and hostile sets."""

import math
from itertools import permutations

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d import losses
from lit3d.errors import UserError
from lit3d.ops.sliced import directions

ANY_SIZE = [
    losses.cd, losses.cd_l1, losses.sinkhorn, losses.sliced, losses.dcd, losses.hypercd, losses.infocd
]  # fmt: skip
PAIRS = [losses.emd, losses.emd_squared]
ALL = [*ANY_SIZE, *PAIRS]


def sets(n, m, d=3, b=2, seed=0):
    g = torch.Generator().manual_seed(seed + 7 * n + m)
    return tuple(torch.rand(b, k, d, generator=g, dtype=torch.float64) for k in (n, m))


def naive_chamfer(x, y, weigh, weights=(1.0, 1.0)):
    """Loops over points: weigh(d, n_from, n_to, count) summed over each direction's means."""
    total = 0.0
    for factor, a, b in ((weights[0], x, y), (weights[1], y, x)):
        lengths = [[math.dist(p, q) for q in b] for p in a]
        nearest = [row.index(min(row)) for row in lengths]
        total += factor * sum(
            weigh(min(row), len(a), len(b), nearest.count(j)) for row, j in zip(lengths, nearest, strict=True)
        ) / len(a)  # fmt: skip
    return total


NAIVE = {
    losses.cd: lambda d, n, m, c: d**2,
    losses.cd_l1: lambda d, n, m, c: d / 2,
    losses.dcd: lambda d, n, m, c: (1 - math.exp(-1000 * d**2) * (n / m) / c) / 2,
    losses.hypercd: lambda d, n, m, c: math.acosh(1 + d**2),
    losses.infocd: lambda d, n, m, c: d / 4,
}


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0, 1), (2.0, 0.5)])
@pytest.mark.parametrize(("n", "m", "d"), [(20, 20, 3), (12, 30, 2), (30, 12, 3), (1, 9, 2), (9, 1, 3), (1, 1, 3)])
@pytest.mark.parametrize("loss", NAIVE, ids=lambda f: f.__name__)
def test_chamfer_and_its_relatives_are_what_loops_say(loss, n, m, d, weights):
    x, y = sets(n, m, d)
    x[0, 0] = y[0, 0] + 0.01  # within dcd's reach
    got = loss(x, y, weights=weights)
    expected = [naive_chamfer(p, q, NAIVE[loss], weights) for p, q in zip(x.tolist(), y.tolist(), strict=True)]
    assert got.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-6 if loss is losses.infocd else 1e-12)


@pytest.mark.parametrize(("alpha", "exponent", "squared"), [(50.0, 0.5, True), (5.0, 2.0, False)])
def test_dcd_with_other_settings(alpha, exponent, squared):
    x, y = sets(15, 25)
    got = losses.dcd(x, y, alpha=alpha, exponent=exponent, squared=squared)
    expected = [
        naive_chamfer(p, q, lambda d, n, m, c: (1 - math.exp(-alpha * d ** (1 + squared)) * n / m / c**exponent) / 2)
        for p, q in zip(x.tolist(), y.tolist(), strict=True)
    ]
    assert got.tolist() == pytest.approx(expected, rel=1e-9)


def test_infocd_is_a_contrast_over_points_and_half_of_cd_l1_at_its_published_exponent():
    x, y = sets(15, 25)
    torch.testing.assert_close(losses.infocd(x, y), losses.cd_l1(x, y) / 2, rtol=1e-6, atol=0)
    table = cdist(x[0], y[0])
    expected = 0.0
    for d in (table.min(1), table.min(0)):  # the formula as it is printed, with the mean for the sum
        s = np.exp(-d / 0.5)
        expected += np.mean(-np.log(s / s.mean() ** 0.3)) / 2
    assert float(losses.infocd(x, y, tau=0.5, exponent=0.3)[0]) == pytest.approx(expected, rel=1e-12)


def test_hypercd_is_cd_l1_times_a_constant_at_the_scale_of_objects_and_has_a_gradient_near_zero():
    x, y = sets(100, 100)  # distances to the nearest point are below 0.34
    torch.testing.assert_close(losses.hypercd(x, y), 2 * math.sqrt(2) * losses.cd_l1(x, y), rtol=0.01, atol=0)
    for d in (1e-8, 1e-4, 3e-3):  # arcosh of a clamped argument is flat here
        p = torch.tensor([[[d, 0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
        losses.hypercd(p, torch.zeros(1, 1, 3, dtype=torch.float64)).sum().backward()
        assert float(p.grad[0, 0, 0]) == pytest.approx(2 * math.sqrt(2), rel=1e-5)


def test_dcd_has_no_gradient_beyond_a_tenth_and_notices_a_crowd_that_cd_does_not():
    near, far = (torch.tensor([[[d, 0.0, 0.0]]], requires_grad=True) for d in (0.02, 0.15))
    for p in (near, far):
        losses.dcd(p, torch.zeros(1, 1, 3)).sum().backward()
    assert float(near.grad.abs().max()) > 10 > 1e-5 > float(far.grad.abs().max())
    truth = torch.rand(1, 50, 3)
    crowd = torch.cat([truth, truth[:, :1].expand(1, 50, 3)], 1)
    assert float(losses.cd(crowd, truth)) == 0
    assert float(losses.dcd(crowd, truth)) > 0.2


@pytest.mark.parametrize("d", [2, 3])
def test_emd_and_its_square_are_the_least_over_all_bijections(d):
    x, y = sets(6, 6, d)
    for loss, power in ((losses.emd, 1), (losses.emd_squared, 2)):
        table = cdist(x[0], y[0]) ** power
        least = min(sum(table[i, j] for i, j in enumerate(order)) for order in permutations(range(6))) / 6
        assert float(loss(x, y)[0]) == pytest.approx(least, rel=1e-12)


def test_emd_squared_is_scipys_at_more_points_and_pairs_with_the_first_true_points():
    x, y = sets(60, 80)
    table = cdist(x[0], y[0, :60]) ** 2
    rows, columns = linear_sum_assignment(table)
    assert float(losses.emd_squared(x, y)[0]) == pytest.approx(table[rows, columns].mean(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:Sinkhorn did not converge")  # POT's own threshold
@pytest.mark.parametrize(("p", "blur"), [(2, 0.3), (1, 0.1)])
def test_sinkhorn_is_debiased_and_in_pots_units(p, blur):
    x, y = sets(15, 25, b=1)

    def pot(a, b):
        cost = cdist(a, b) ** p
        n, m = cost.shape
        plan = ot.sinkhorn(np.full(n, 1 / n), np.full(m, 1 / m), cost, blur**p, method="sinkhorn_log", stopThr=1e-9)
        return (plan * cost).sum() + blur**p * (plan * np.log(plan * n * m)).sum()

    expected = pot(x[0], y[0]) - pot(x[0], x[0]) / 2 - pot(y[0], y[0]) / 2
    assert float(losses.sinkhorn(x, y, blur=blur, p=p)) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 25)])
def test_sliced_is_pots_over_the_same_fixed_directions(n, m):
    x, y = sets(n, m, b=1)
    axes = directions(64, 3).numpy().T
    expected = ot.sliced_wasserstein_distance(x[0].numpy(), y[0].numpy(), projections=axes, p=2) ** 2
    assert float(losses.sliced(x, y)) == pytest.approx(expected, rel=1e-9)
    assert torch.equal(losses.sliced(x, y), losses.sliced(x, y))


@pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)
class TestEachLoss:
    @pytest.mark.parametrize("d", [2, 3])
    def test_gradients_to_both_sides_are_finite_differences(self, loss, d):
        x, y = sets(4, 4 if loss in PAIRS else 3, d, b=1)
        y[:, 0] = x[:, 0] + 0.01  # within dcd's reach
        x.requires_grad_(), y.requires_grad_()
        settings = {losses.infocd: {"exponent": 0.3}, losses.sinkhorn: {"blur": 0.2}}.get(loss, {})
        loose = {"atol": 2e-3, "rtol": 0.05, "eps": 1e-4} if loss is losses.sinkhorn else {}  # iterated to a tolerance
        assert torch.autograd.gradcheck(lambda a, b: loss(a, b, **settings), (x, y), **loose)

    @pytest.mark.parametrize("d", [2, 3])
    def test_equal_sets_in_any_order_have_no_distance_and_no_gradient(self, loss, d):
        x, _ = sets(30, 30, d)
        z = x.flip(1).clone().requires_grad_()
        value = loss(z, x)
        value.sum().backward()
        assert float(value.detach().abs().max()) < (1e-4 if loss is losses.sinkhorn else 1e-12)
        assert float(z.grad.abs().max()) < (1e-3 if loss is losses.sinkhorn else 1e-12)

    def test_sets_have_no_order(self, loss):
        x, y = sets(30, 30)
        torch.testing.assert_close(
            loss(x[:, torch.randperm(30)], y[:, torch.randperm(30)]), loss(x, y),
            rtol=2e-3 if loss is losses.sinkhorn else 1e-9, atol=0,
        )  # fmt: skip

    def test_duplicates_and_single_points_have_finite_values_and_gradients(self, loss):
        x, y = sets(20, 20)
        crowd = x[:, :1].expand(2, 20, 3)
        for a, b in ((crowd, y), (crowd, crowd), (x[:, :1], x[:, :1]), (y, crowd)):
            a = a.clone().requires_grad_()
            value = loss(a, b)
            value.sum().backward()
            assert bool(value.isfinite().all())
            assert bool(a.grad.isfinite().all())

    @pytest.mark.filterwarnings("ignore:sinkhorn stopped")
    @pytest.mark.parametrize("unit", [1e-9, 1e9])
    def test_tiny_and_huge_sets_are_finite(self, loss, unit):
        x, y = sets(20, 20)
        a = (x * unit).float().requires_grad_()
        value = loss(a, (y * unit).float())
        value.sum().backward()
        assert bool((value.isfinite() & (value >= 0)).all())
        assert bool(a.grad.isfinite().all())

    def test_half_precision_is_lifted(self, loss):
        x, y = (s.bfloat16() for s in sets(20, 20))
        value = loss(x.requires_grad_(), y)
        value.sum().backward()
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(x.float(), y.float()))
        assert x.grad.dtype == torch.bfloat16

    def test_coordinates_that_are_not_finite_are_refused_with_the_sample(self, loss):
        x, y = sets(20, 20)
        for bad in (math.nan, math.inf):
            x[1, 3, 0] = bad
            with pytest.raises(UserError, match="NaN or infinite coordinates in sample 1"):
                loss(x, y)


@pytest.mark.parametrize("loss", ANY_SIZE, ids=lambda f: f.__name__)
def test_sets_of_unequal_size_are_compared_and_a_loss_over_pairs_says_what_it_needs(loss):
    x, y = sets(30, 12)
    assert bool((loss(x, y) > 0).all())
    with pytest.raises(UserError, match="truth has 12 and the prediction 30"):
        losses.emd_squared(x, y)


BAD = [
    (losses.cd, {"weights": (0, 0)}, "weights must be two finite numbers of 0 or more"),
    (losses.cd, {"weights": (1.0,)}, "weights"),
    (losses.cd_l1, {"weights": (-1.0, 1.0)}, r"are \[-1.0, 1.0\]"),
    (losses.dcd, {"weights": (math.nan, 1.0)}, "weights"),
    (losses.hypercd, {"weights": (math.inf, 1.0)}, "weights"),
    (losses.dcd, {"alpha": 0.0}, "alpha must be a positive finite number, but is 0.0"),
    (losses.dcd, {"exponent": math.nan}, "exponent"),
    (losses.hypercd, {"alpha": -1.0}, "alpha"),
    (losses.infocd, {"tau": math.inf}, "tau"),
    (losses.infocd, {"exponent": -1e-7}, "exponent must be a finite number of 0 or more"),
    (losses.sinkhorn, {"blur": 0.0}, "blur"),
    (losses.sinkhorn, {"p": 3}, "p must be 1 or 2"),
    (losses.sliced, {"projections": 0}, "at least one projection"),
    (losses.sliced, {"p": 0}, "p must be 1 or 2"),
]


@pytest.mark.parametrize(("loss", "settings", "sentence"), BAD)
def test_settings_that_cannot_be_are_one_sentence(loss, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        loss(*sets(5, 5), **settings)
