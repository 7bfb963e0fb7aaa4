import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d import ops
from lit3d.errors import UserError


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


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("kind", ["random", "duplicates", "one point", "far", "lattice"])
def test_match_costs_what_scipy_finds_and_is_a_bijection(kind, d):
    x, y = sets(2, 120, d)
    if kind == "duplicates":
        x, y = (x * 4).round() / 4, (y * 4).round() / 4
    elif kind == "one point":
        x = x[:, :1].expand_as(x).contiguous()
    elif kind == "far":
        y = y * 0.01 + 50
    elif kind == "lattice":
        x = (x * 10).round()
        y = x + 0.5
    found = ops.match(x, y)
    index, cost = found.index, found.cost
    for i in range(2):
        matrix = cdist(x[i], y[i])
        rows, columns = linear_sum_assignment(matrix)
        assert float(cost[i]) == pytest.approx(matrix[rows, columns].sum(), rel=1e-9)
        assert sorted(index[i].tolist()) == list(range(120))
        assert float(cost[i]) == pytest.approx(matrix[np.arange(120), index[i]].sum(), rel=1e-9)


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
    assert float(value) == 0
    assert float(moved.grad.abs().max()) == 0


def test_translation_moves_the_distance_by_its_length():
    x, _ = sets(1, 64)
    shift = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    assert float(ops.emd(x, x + shift)) == pytest.approx(1.3, rel=1e-9)


def test_sets_of_different_size_are_refused():
    with pytest.raises(UserError, match="equal size, but they have 5 and 6 points"):
        ops.emd(torch.rand(1, 5, 3), torch.rand(1, 6, 3))
