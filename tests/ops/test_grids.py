import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from lit3d.ops.grids import splat, trilinear


def naive(grid, place, half):
    """One place of one grid: eight centres, weighted by volumes."""
    n = len(grid)
    at = [min(max((c / half + 1) * n / 2 - 0.5, 0), n - 1) for c in place]
    low = [min(int(np.floor(a)), max(n - 2, 0)) for a in at]
    total = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.prod([a - lo if c else 1 - (a - lo) for a, lo, c in zip(at, low, corner, strict=True)])
        i, j, k = (min(lo + c, n - 1) for lo, c in zip(low, corner, strict=True))
        total += weight * float(grid[i, j, k])
    return total


@pytest.mark.parametrize("half", [0.55, 0.9])
def test_interpolation_is_the_naive_one_and_scipys(half):
    torch.manual_seed(0)
    grid, places = torch.rand(2, 5, 5, 5), (torch.rand(2, 40, 3) * 2 - 1) * half * 1.3
    found = trilinear(grid, places, half)
    expected = [[naive(g, p.tolist(), half) for p in ps] for g, ps in zip(grid, places, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    index = ((places[0].numpy() / half + 1) * 5 / 2 - 0.5).T
    np.testing.assert_allclose(found[0].numpy(), map_coordinates(grid[0].numpy(), index, order=1, mode="nearest"),
                               atol=1e-5)  # fmt: skip


def test_centres_keep_their_values_and_axes():
    grid = torch.arange(27.0).reshape(1, 3, 3, 3)
    at = torch.tensor([[[1.0, 0, -1.0]]]) * 2 / 3  # x last cell, y middle, z first
    assert float(trilinear(grid, at, 1.0)) == pytest.approx(float(grid[0, 2, 1, 0]))


def test_splat_is_the_transpose_of_interpolation():
    torch.manual_seed(0)
    grid, values = torch.rand(2, 4, 4, 4, dtype=torch.float64), torch.rand(2, 30)
    places = (torch.rand(2, 30, 3) * 2 - 1) * 0.5
    sums, weights = splat(places, values, 4, 0.5)
    forth = (trilinear(grid.float(), places, 0.5) * values).sum()
    torch.testing.assert_close(forth, (grid.float() * sums).sum(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(weights.sum((1, 2, 3)), torch.full((2,), 30.0))


def test_places_outside_of_the_cube_do_not_count():
    sums, weights = splat(torch.tensor([[[0.6, 0, 0], [0.5, 0.5, 0.5]]]), torch.ones(1, 2), 4, 0.5)
    assert float(weights.sum()) == 1
    assert float(sums[0, 3, 3, 3]) == 1


def test_interpolation_has_a_gradient():
    grid = torch.rand(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    places = torch.rand(1, 5, 3, dtype=torch.float64) - 0.5
    torch.autograd.gradcheck(lambda g: trilinear(g, places, 0.7), grid)
