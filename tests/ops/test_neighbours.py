import os
import tracemalloc

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops.kernels import nearest_cpu
from lit3d.ops.neighbours import gather_points, nearest_both, nearest_reference


def sets(b, n, m, d=3, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(b, n, d, generator=g, dtype=dtype), torch.rand(b, m, d, generator=g, dtype=dtype)


def naive_chamfer(x, y, power):
    total = 0.0
    for a, b in ((x, y), (y, x)):
        total += sum(
            min(sum((p - q) ** 2 for p, q in zip(s, t, strict=True)) ** (power / 2) for t in b) for s in a
        ) / len(a)
    return total


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 70), (63, 64), (65, 129), (200, 7)])
def test_nearest_agrees_with_kd_tree(n, m, d):
    x, y = sets(3, n, m, d)
    squared, index = ops.nearest(x, y)
    for i in range(3):
        away, which = cKDTree(y[i].numpy()).query(x[i].numpy())
        np.testing.assert_allclose(squared[i].sqrt(), away, atol=1e-12)
        np.testing.assert_array_equal(index[i], which)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_agrees_with_its_reference(dtype):
    x, y = sets(2, 150, 90, dtype=dtype)
    squared, index = ops.nearest(x, y)
    expected, which = nearest_reference(x, y, chunk=64)
    torch.testing.assert_close(squared, expected)
    assert torch.equal(index, which)
    assert squared.dtype == dtype


def test_nearest_far_from_the_origin_keeps_its_precision():
    x, _ = sets(1, 300, 1, dtype=torch.float32)
    squared, index = ops.nearest(x + 100, x + 100)
    assert float(squared.max()) == 0
    assert torch.equal(index[0], torch.arange(300))


def test_ties_go_to_the_first():
    point = torch.zeros(1, 1, 3)
    assert int(ops.nearest(point, point.expand(1, 5, 3).contiguous())[1]) == 0


@pytest.mark.parametrize("power", [1, 2])
def test_chamfer_agrees_with_a_triple_loop(power):
    x, y = sets(2, 9, 13)
    got = ops.chamfer(x, y, squared=power == 2)
    expected = [naive_chamfer(x[i].tolist(), y[i].tolist(), power) for i in range(2)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("squared", [True, False])
def test_chamfer_gradcheck(squared):
    x, y = sets(2, 6, 8)
    x.requires_grad_(), y.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: ops.chamfer(a, b, squared=squared), (x, y))


@pytest.mark.parametrize("squared", [True, False])
def test_chamfer_of_equal_sets_is_zero_with_a_finite_gradient(squared):
    x, _ = sets(1, 20, 1)
    x = torch.cat([x, x], dim=1).requires_grad_()  # duplicates, too
    value = ops.chamfer(x, x.detach(), squared=squared)
    value.sum().backward()
    assert float(value.detach()) == 0
    assert float(x.grad.abs().max()) == 0


def test_chamfer_weights_and_permutations():
    x, y = sets(2, 30, 40)
    one_way = ops.chamfer(x, y, weights=(1.0, 0.0))
    torch.testing.assert_close(ops.chamfer(x, y), one_way + ops.chamfer(y, x, weights=(1.0, 0.0)))
    torch.testing.assert_close(ops.chamfer(x[:, torch.randperm(30)], y[:, torch.randperm(40)]), ops.chamfer(x, y))


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (torch.rand(2, 3), torch.rand(2, 3), "shape"),
        (torch.rand(2, 3, 4), torch.rand(2, 3, 4), "2 or 3"),
        (torch.rand(2, 3, 3), torch.rand(1, 3, 3), "share batch"),
        (torch.rand(2, 3, 3), torch.rand(2, 3, 3).double(), "dtype"),
        (torch.rand(2, 0, 3), torch.rand(2, 3, 3), "empty"),
    ],
)
def test_bad_sets_are_refused_with_a_sentence(x, y, sentence):
    from lit3d.ops.checks import check_sets

    with pytest.raises(UserError, match=sentence):
        check_sets(x, y)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_coordinate_that_is_not_finite_names_its_sample(value):
    x, y = sets(3, 4, 4)
    y[1, 2, 0] = value
    with pytest.raises(UserError, match="second point set .* sample 1"):
        ops.nearest(x, y)


def test_kernels_run_in_threads_then_in_forked_workers():
    x, y = sets(4, 300, 300, dtype=torch.float32)
    expected = ops.nearest(x, y)[0]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        same = torch.equal(ops.nearest(x, y)[0], expected)
        os.write(writer, b"1" if same else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"


HOSTILE = {
    "sphere": lambda r, n: torch.nn.functional.normalize(
        torch.randn(1, n, 3, generator=r, dtype=torch.float64), dim=-1
    ),
    "cube": lambda r, n: torch.rand(1, n, 3, generator=r, dtype=torch.float64),
    "one point": lambda r, n: torch.full((1, n, 3), 0.3, dtype=torch.float64),
    "few distinct": lambda r, n: torch.rand(1, 7, 3, generator=r, dtype=torch.float64)[:, torch.arange(n) % 7],
    "line": lambda r, n: torch.rand(1, n, 1, generator=r, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0]),
    "outlier": lambda r, n: torch.cat(
        [torch.rand(1, n - 1, 3, generator=r, dtype=torch.float64), torch.full((1, 1, 3), 1e6, dtype=torch.float64)], 1
    ),
    "far": lambda r, n: 1e3 + 1e-2 * torch.rand(1, n, 3, generator=r, dtype=torch.float64),
    "huge": lambda r, n: 1e120 * torch.rand(1, n, 3, generator=r, dtype=torch.float64),
    "tiny": lambda r, n: 1e-120 * torch.rand(1, n, 3, generator=r, dtype=torch.float64),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("second", list(HOSTILE))
@pytest.mark.parametrize("first", ["sphere", "few distinct", "outlier", "far"])
def test_the_tree_agrees_with_the_reference_on_hostile_sets(first, second, dtype):
    g = torch.Generator().manual_seed(3)
    x, y = HOSTILE[first](g, 1500).to(dtype), HOSTILE[second](g, 2000).to(dtype)
    if not bool(y.isfinite().all()):
        y = y.nan_to_num(posinf=1e18)
    assert nearest_cpu.use_tree(1500, 2000)
    for found, (a, b) in zip(nearest_both(x, y), ((x, y), (y, x)), strict=True):
        expected, which = nearest_reference(a, b)
        torch.testing.assert_close(found[0], expected, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)
        same = found[1] == which
        away = ((a - gather_points(b, found[1])) ** 2).sum(-1)  # another index only where rounding makes a tie
        torch.testing.assert_close(away[~same], expected[~same], rtol=1e-5, atol=0)


def test_ties_go_to_the_first_in_the_tree_too():
    y = HOSTILE["few distinct"](torch.Generator().manual_seed(0), 2100)
    assert nearest_cpu.use_tree(2100, 2100)
    assert torch.equal(ops.nearest(y, y)[1][0], torch.arange(2100) % 7)


@pytest.mark.parametrize(("n", "m"), [(1, 300_000), (3000, 5000), (5000, 1400), (2047, 2049), (20_000, 20_000)])
def test_large_sets_agree_with_kd_tree(n, m):
    g = torch.Generator().manual_seed(n)
    x, y = torch.randn(1, n, 3, generator=g), torch.randn(1, m, 3, generator=g)
    squared, index = ops.nearest(x, y)
    away, which = cKDTree(y[0].numpy()).query(x[0].numpy())
    np.testing.assert_allclose(squared[0].sqrt(), away, rtol=1e-5)
    assert (index[0].numpy() == which).mean() > 0.999  # rounding to float32 may turn a near tie


def test_small_sets_are_compared_in_tiles_and_large_ones_in_a_tree():
    assert not nearest_cpu.use_tree(512, 512)
    assert not nearest_cpu.use_tree(64, 100_000)
    assert nearest_cpu.use_tree(1024, 10_000)
    assert nearest_cpu.use_tree(200_000, 200_000)


@pytest.mark.parametrize("n", [40, 1600])
def test_the_gradient_agrees_with_autograd_through_the_reference(n):
    x, y = sets(2, n, n + 7)
    x.requires_grad_(), y.requires_grad_()
    weights = torch.tensor([0.3, 1.7], dtype=torch.float64)
    expected = sum(
        w * ((a - gather_points(b, nearest_reference(a, b)[1])) ** 2).sum(-1).mean(1)
        for w, (a, b) in zip(weights, ((x, y), (y, x)), strict=True)
    )
    got = ops.chamfer(x, y, weights=tuple(weights.tolist()))
    torch.testing.assert_close(got, expected)
    for a, b in zip(torch.autograd.grad(got.sum(), (x, y)), torch.autograd.grad(expected.sum(), (x, y)), strict=True):
        torch.testing.assert_close(a, b)


def test_large_sets_need_memory_in_proportion():
    x = torch.rand(1, 50_000, 3)
    ops.nearest(x[:, :3000], x[:, :3000])
    tracemalloc.start()  # numpy reports what it allocates
    ops.nearest(x, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * 50_000
