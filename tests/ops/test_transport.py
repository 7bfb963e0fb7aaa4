import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops import transport


def sets(b, n, d=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(b, n, d, generator=g).double(), torch.rand(b, n, d, generator=g).double()


@pytest.mark.parametrize("squared", [False, True])
def test_emd_agrees_with_all_permutations(squared):
    x, y = sets(3, 5)
    got = ops.emd(x, y, squared=squared)
    for i in range(3):
        cost = cdist(x[i], y[i]) ** (2 if squared else 1)
        best = min(sum(cost[k, p[k]] for k in range(5)) for p in itertools.permutations(range(5))) / 5
        assert float(got[i]) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("n", [120, 300])
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("kind", ["random", "duplicates", "one point", "far", "lattice", "blob", "line", "moved"])
def test_match_costs_what_scipy_finds_and_is_a_bijection(kind, d, n):
    x, y = sets(2, n, d)
    if kind == "duplicates":
        x, y = (x * 4).round() / 4, (y * 4).round() / 4
    elif kind == "one point":
        x = x[:, :1].expand_as(x).contiguous()
    elif kind == "far":
        y = y * 0.01 + 50
    elif kind == "lattice":
        x = (x * 10).round()
        y = x + 0.5
    elif kind == "blob":
        x = x * 0.02
    elif kind == "line":
        x, y = x[..., :1].expand_as(x) * 0.7, y[..., :1].expand_as(y) * 0.7
    elif kind == "moved":
        y = x + y * 1e-3
    found = ops.match(x, y)
    index, cost = found.index, found.cost
    for i in range(2):
        matrix = cdist(x[i], y[i])
        rows, columns = linear_sum_assignment(matrix)
        assert float(cost[i]) == pytest.approx(matrix[rows, columns].sum(), rel=1e-9)
        assert sorted(index[i].tolist()) == list(range(n))
        assert float(cost[i]) == pytest.approx(matrix[np.arange(n), index[i]].sum(), rel=1e-9)


@pytest.mark.parametrize("squared", [False, True])
def test_gradcheck(squared):
    x, y = sets(2, 6)
    x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: ops.emd(a, b, squared=squared), (x, y))


def test_identity_has_distance_and_gradient_zero():
    x, _ = sets(1, 50)
    moved = x[:, torch.randperm(50)].clone().requires_grad_()
    value = ops.emd(moved, x)
    value.sum().backward()
    assert float(value.detach()) == 0
    assert float(moved.grad.abs().max()) == 0


def test_translation_moves_the_distance_by_its_length():
    x, _ = sets(1, 64)
    shift = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    assert float(ops.emd(x, x + shift)) == pytest.approx(1.3, rel=1e-9)


def test_sets_of_different_size_are_refused():
    with pytest.raises(UserError, match="equal size, but they have 5 and 6 points"):
        ops.emd(torch.rand(1, 5, 3), torch.rand(1, 6, 3))


def test_squared_distances_take_the_dense_solver(monkeypatch):
    asked = []
    monkeypatch.setattr(transport, "dense", lambda x, y, metric: asked.append(metric) or np.arange(400))
    ops.match(*sets(2, 400))
    assert asked == []
    ops.match(*sets(1, 400), squared=True)
    assert asked == ["sqeuclidean"]


def test_a_warm_start_finds_what_a_cold_one_finds():
    x, y = sets(3, 400)
    first = ops.match(x, y)
    assert (first.potential[:, 0, :, None] - first.potential[:, 1, None] <= torch.cdist(x, y) + 1e-12).all()
    for noise in (0.0, 1e-3, 0.1):
        z = x + noise * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
        warm, cold = ops.match(z, y, state=first), ops.match(z, y)
        torch.testing.assert_close(warm.cost, cold.cost, rtol=1e-12, atol=0)
        assert (warm.index == cold.index).all()
    small = ops.match(*sets(2, 50))
    assert small.potential.isnan().all()
    assert (ops.match(*sets(2, 50), state=small).index == small.index).all()


def test_a_state_of_other_sets_is_refused():
    with pytest.raises(
        UserError, match=r"earlier matching is of \(2, 50\) \(batch, points\), but the sets are of \(2, 60\)"
    ):
        ops.match(*sets(2, 60), state=ops.match(*sets(2, 50)))
    with pytest.raises(UserError, match="Euclidean matchings only"):
        ops.match(*sets(2, 50), squared=True, state=ops.match(*sets(2, 50)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 60, 500])
def test_certificate_closes_the_gap(n, dtype):
    x, y = (p.to(dtype) for p in sets(3, n))
    found = ops.match(x, y, certify=True)
    assert found.dual.dtype == found.cost.dtype == found.gap.dtype == torch.float64
    assert (found.gap.abs() <= 1e-9 * found.cost).all()
    assert (found.gap == found.cost - found.dual).all()
    torch.testing.assert_close(found.cost, ops.match(x, y).cost, rtol=1e-9, atol=0)


def test_without_a_certificate_its_fields_are_nan_and_the_rest_cannot_be_changed():
    found = ops.match(*sets(2, 300))
    assert found.dual.isnan().all()
    assert found.gap.isnan().all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.cost = None


def test_a_certificate_for_squared_distances_is_refused():
    with pytest.raises(UserError, match="Euclidean matchings only"):
        ops.match(*sets(1, 5), squared=True, certify=True)


def test_squared_matching_is_what_scipy_finds():
    x, y = sets(1, 300)
    matrix = cdist(x[0], y[0], "sqeuclidean")
    assert float(ops.match(x, y, squared=True).cost) == pytest.approx(matrix[linear_sum_assignment(matrix)].sum())


def test_gradient_at_a_size_of_the_lists_points_along_the_matched_segments():
    x, y = sets(2, 320)
    x.requires_grad_(), y.requires_grad_()
    ops.emd(x, y).sum().backward()
    index = ops.match(x, y).index
    target = torch.stack([y[b, index[b]] for b in range(2)])
    expected = (x - target) / (x - target).norm(dim=-1, keepdim=True) / 320
    torch.testing.assert_close(x.grad, expected.detach())
    torch.testing.assert_close(torch.stack([y.grad[b, index[b]] for b in range(2)]), -expected.detach())


def test_symmetric_and_indifferent_to_order_and_scale():
    x, y = sets(1, 350)
    value = float(ops.emd(x, y))
    assert float(ops.emd(y, x)) == pytest.approx(value, rel=1e-12)
    order = torch.randperm(350, generator=torch.Generator().manual_seed(0))
    assert float(ops.emd(x[:, order], y)) == pytest.approx(value)
    assert float(ops.emd(x * 1e-30, y * 1e-30)) == pytest.approx(value * 1e-30, rel=1e-12)
    assert float(ops.emd(x * 1e30, y * 1e30)) == pytest.approx(value * 1e30, rel=1e-12)


def test_same_result_again_and_from_several_threads():
    work = [sets(2, 300 + k, seed=k) for k in range(4)]
    alone = [ops.match(x, y).index for x, y in work]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            for one, other in zip(alone, pool.map(lambda w: ops.match(*w).index, work), strict=True):
                assert (one == other).all()


def test_an_empty_batch_has_empty_results():
    found = ops.match(torch.rand(0, 300, 3), torch.rand(0, 300, 3))
    assert found.index.shape == (0, 300)
    assert found.cost.shape == found.gap.shape == (0,)


def test_a_coordinate_that_is_not_finite_is_named():
    x, y = sets(3, 300)
    x[1, 5, 0] = float("nan")
    with pytest.raises(UserError, match="first point set has NaN or infinite coordinates in sample 1"):
        ops.match(x, y)


def test_half_precision_is_lifted():
    x, y = (p.bfloat16() for p in sets(2, 300))
    with torch.autocast("cpu", torch.bfloat16):
        value = ops.emd(x, y)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, ops.emd(x.float(), y.float()))


def test_the_value_is_continuous_where_the_matching_changes():
    """Along a path of one set the bijection changes many times; the distance moves by at most the points' mean move."""
    x, y = sets(1, 300)
    target = torch.rand(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    path = [x + t * (target - x) for t in torch.linspace(0, 1, 21)]
    values = [float(ops.emd(p, y)) for p in path]
    changes = [not torch.equal(ops.match(p, y).index, ops.match(q, y).index) for p, q in itertools.pairwise(path)]
    assert sum(changes) > 10
    for k, (p, q) in enumerate(itertools.pairwise(path)):
        assert abs(values[k + 1] - values[k]) <= float((p - q).norm(dim=-1).mean()) + 1e-12


def test_a_gap_that_is_good_enough_is_proved_and_can_be_finished_exactly():
    x, y = sets(2, 260)
    rough, exact = ops.match(x, y, gap=1e-2), ops.match(x, y)
    for i in range(2):
        assert sorted(rough.index[i].tolist()) == list(range(260))
    assert (rough.dual <= exact.cost * (1 + 1e-9)).all()
    assert (exact.cost <= rough.cost * (1 + 1e-6)).all()
    assert (rough.gap <= 1e-2 * rough.cost).all()
    torch.testing.assert_close(ops.match(x, y, state=rough).cost, exact.cost, rtol=1e-9, atol=0)
    with pytest.raises(UserError, match="gap=2.0 asks for an approximate"):
        ops.match(x, y, gap=2.0)
    with pytest.raises(UserError, match="do not go with it"):
        ops.match(x, y, gap=1e-3, certify=True)
