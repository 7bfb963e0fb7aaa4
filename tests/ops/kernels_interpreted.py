"""The triton kernels in triton's interpreter: run by test_cuda_kernels.py in a process of its own.

TRITON_INTERPRET=1 must stand before triton is imported, and then nothing in that process compiles for a device.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d.ops.kernels import auction_cuda, auction_triton, nearest_cuda, nearest_triton
from lit3d.ops.neighbours import nearest_reference


def test_the_kernels_are_interpreted():
    for kernel in (nearest_triton.nearest_tiles, auction_triton.settle):
        assert type(kernel).__name__ == "InterpretedFunction"


def points(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pairs(kind, b, n, d):
    x, y = points(n, b, n, d), points(n + 1, b, n, d)
    if kind == "duplicates":
        return (x * 2).round() / 2, (y * 2).round() / 2
    if kind == "one point":
        return x[:, :1].expand_as(x), y
    if kind == "all one point":
        return torch.full_like(x, 0.3), torch.full_like(y, 0.3)
    if kind == "far":
        return 0.01 * x + 50, 0.01 * y
    if kind == "same set":
        return x, x.flip(1)
    if kind == "line":
        return x[..., :1] * torch.ones(d), y[..., :1] * torch.ones(d)
    return x, y


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 70), (70, 1), (63, 64), (130, 97), (20, 300)])
def test_nearest_agrees_with_its_reference(n, m, d):
    x, y = points(n, 3, n, d), points(m + 1, 3, m, d)
    squared, index = nearest_cuda.nearest(x, y)
    expected, which = nearest_reference(x, y)
    torch.testing.assert_close(squared, expected, rtol=1e-6, atol=0)
    assert torch.equal(index, which)


@pytest.mark.parametrize("d", [2, 3])
def test_ties_go_to_the_smallest_index_across_tiles_and_chunks(d):
    x, y = (4 * points(0, 2, 40, d)).round(), (4 * points(1, 2, 400, d)).round()  # whole numbers: exact sums
    squared, index = nearest_cuda.nearest(x, y)
    every = ((x[:, :, None] - y[:, None]) ** 2).sum(-1)
    assert nearest_cuda.plan(2, 40, 400, 1).chunks > 1
    assert torch.equal(squared, every.amin(2))
    assert torch.equal(index, torch.from_numpy(every.numpy().argmin(2)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_nearest_keeps_the_type(dtype):
    x, y = points(0, 1, 30, 3).to(dtype), points(1, 1, 20, 3).to(dtype)
    squared, index = nearest_cuda.nearest(x, y)
    wide = (x.double()[:, :, None] - y.double()[:, None]).square().sum(-1)
    assert squared.dtype == dtype
    assert torch.equal(index, wide.argmin(2))
    torch.testing.assert_close(squared, wide.amin(2).to(dtype))


def test_nearest_of_far_tiny_and_huge_points():
    x = points(0, 1, 50, 3)
    assert float(nearest_cuda.nearest(x + 100, x + 100)[0].max()) == 0
    assert torch.equal(nearest_cuda.nearest(x * 2.0**-60, (x + 0.5) * 2.0**-60)[1], nearest_reference(x, x + 0.5)[1])
    squared, index = nearest_cuda.nearest(x * 1e30, -x * 1e30)  # every square overflows
    assert squared.isinf().all()
    assert (index == 0).all()


def test_nearest_takes_views_and_empty_batches():
    x, y = points(0, 3, 2, 40).transpose(1, 2), points(1, 30, 6)[None, :, ::2]
    assert torch.equal(
        nearest_cuda.nearest(x[:1, :, :].expand(1, 40, 2), y[..., :2])[1], nearest_reference(x[:1], y[..., :2])[1]
    )
    assert nearest_cuda.nearest(points(0, 0, 5, 3), points(0, 0, 5, 3))[0].shape == (0, 5)


@pytest.fixture
def rounded_alike(monkeypatch):
    """torch's square root differs from NumPy's, and so the interpreter's, in the last bit."""

    def distance(a, b):
        d = (a - b).numpy()
        return torch.from_numpy(np.sqrt(d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1] + d[:, 2] * d[:, 2]))

    monkeypatch.setattr(auction_cuda, "_distance", distance)


def check(x, y, found, gap):
    for i in range(len(x)):
        matrix = cdist(x[i].double(), y[i].double())
        best = matrix[linear_sum_assignment(matrix)].sum()
        assert sorted(found.index[i].tolist()) == list(range(x.shape[1]))
        assert float(found.cost[i]) == pytest.approx(matrix[np.arange(len(matrix)), found.index[i]].sum(), rel=1e-12)
        assert float(found.dual[i]) <= best * (1 + 1e-12)
        assert float(found.cost[i] - found.dual[i]) <= gap * float(found.cost[i])


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def small_tiles(monkeypatch):
    """Several blocks of rows and several tiles of objects, even of few points."""
    monkeypatch.setattr(auction_cuda, "SLOTS", 4)
    monkeypatch.setattr(auction_cuda, "COLUMNS", 8)


@pytest.mark.parametrize("kind", ["uniform", "duplicates", "one point", "all one point", "far", "same set", "line"])
def test_auction_agrees_bit_for_bit_with_its_reference(kind, rounded_alike, small_tiles):
    for b, n, d in ((2, 1, 3), (1, 13, 2 if kind in ("uniform", "line") else 3)):
        x, y = pairs(kind, b, n, d)
        found = auction_cuda.match(x, y, gap=1e-2)
        assert same(found, auction_cuda.match_reference(x, y, gap=1e-2))
        check(x, y, found, 1e-2)


def test_auction_of_several_levels_and_samples(rounded_alike, monkeypatch):
    monkeypatch.setattr(auction_cuda, "SMALLEST", 8)
    x, y = pairs("uniform", 2, 66, 3)
    found = auction_cuda.match(x, y)
    assert list(auction_cuda.strides(66)) == [4, 1]
    assert same(found, auction_cuda.match_reference(x, y))
    check(x, y, found, 1e-3)


@pytest.mark.parametrize("rounds", [0, 6])
def test_auction_without_time_gives_a_bijection_and_says_how_good(rounds, rounded_alike, small_tiles):
    x, y = pairs("uniform", 1, 20, 3)
    found = auction_cuda.match(x, y, gap=1e-2, rounds=rounds)
    assert same(found, auction_cuda.match_reference(x, y, gap=1e-2, rounds=rounds))
    check(x, y, found, 1.0)
