"""Sheets whose smoothness, folds and labels are known."""

import numpy as np
import pytest
import torch

from lit3d.errors import UserError
from lit3d.metrics.parameterisation import (
    cell_purity,
    flat_ratio,
    fold_over_share,
    grid_cells,
    neighbour_ratio,
    permuted_purity,
)
from lit3d.networks.heads import TwoBranchHead, UpconvolutionHead

ROWS, COLUMNS = 9, 12


def sheet(shape):
    """Points (1, n, 3) in the order of cells, from a function of (column, row) in units of a cell."""
    row, column = np.mgrid[:ROWS, :COLUMNS].astype(float)
    points = np.stack(np.broadcast_arrays(*shape(column, row)), axis=-1)
    return torch.from_numpy(points.reshape(1, -1, 3)), torch.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)


def folded_at(edge):
    """A flat sheet folded back by 180 degrees along the grid line through column `edge`."""
    return sheet(lambda x, y: (np.minimum(x, 2 * edge - x), y, 0.0 * x))


def roll(turns, seed=None):
    points, cells = sheet(
        lambda x, y: (np.cos(2 * np.pi * turns * x / COLUMNS), 0.1 * y, np.sin(2 * np.pi * turns * x / COLUMNS))
    )
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        points = points[:, torch.randperm(points.shape[1], generator=generator)]
        points = points + 0.01 * torch.randn(points.shape, generator=generator)  # else some triangles have no area
    return points, cells


def naive_ratio(points, cells):
    rows, columns = cells.shape
    near = [
        np.linalg.norm(points[cells[r, c]] - points[cells[other]])
        for r in range(rows) for c in range(columns) for other in ((r + 1, c), (r, c + 1))
        if other[0] < rows and other[1] < columns and min(cells[r, c], cells[other]) >= 0
    ]  # fmt: skip
    used = points[cells[cells >= 0]]
    everyone = [np.linalg.norm(p - q) for i, p in enumerate(used) for j, q in enumerate(used) if i != j]
    return np.mean(near) / np.mean(everyone)


def naive_folds(points, cells):
    """Every triangle with every other: those that share two corners."""
    triangles = []
    for r in range(cells.shape[0] - 1):
        for c in range(cells.shape[1] - 1):
            a, b, d, e = cells[r, c], cells[r, c + 1], cells[r + 1, c], cells[r + 1, c + 1]
            triangles += [t for t in ((a, b, d), (e, d, b)) if min(t) >= 0]
    normals = [np.cross(points[b] - points[a], points[c] - points[a]) for a, b, c in triangles]
    dots = [
        normals[i] @ normals[j]
        for i in range(len(triangles)) for j in range(i)
        if len({*triangles[i]} & {*triangles[j]}) == 2
    ]  # fmt: skip
    return np.mean(np.array(dots) < 0)


def test_a_flat_sheet_has_no_fold_and_the_least_ratio():
    points, cells = sheet(lambda x, y: (0.3 * x, 0.3 * y, 0 * x))
    assert float(fold_over_share(points, cells)) == 0
    assert float(neighbour_ratio(points, cells)) == pytest.approx(flat_ratio(cells))
    column, row = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 40), indexing="ij")
    fine = torch.stack([column, row, 0 * row], -1).reshape(1, -1, 3).double()
    mean_pair = (2 + 2**0.5 + 5 * np.arcsinh(1)) / 15  # of a unit square
    expected = (1 / 39) / mean_pair
    assert float(neighbour_ratio(fine, torch.arange(1600).reshape(40, 40))) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("edge", [1, 5, 10])
def test_a_fold_counts_its_line_alone(edge):
    points, cells = folded_at(edge)
    inner = (ROWS - 1) * (COLUMNS - 1) + (ROWS - 1) * (COLUMNS - 2) + (ROWS - 2) * (COLUMNS - 1)
    assert float(fold_over_share(points, cells)) == pytest.approx((ROWS - 1) / inner)


def test_a_roll_has_no_fold_until_it_turns_more_than_a_right_angle_a_cell():
    assert float(fold_over_share(*roll(1))) == 0
    assert float(fold_over_share(*roll(COLUMNS / 4 - 0.1))) == 0  # turns by 88 degrees at each line
    across = (ROWS - 1) * (COLUMNS - 2)
    inner = across + (ROWS - 1) * (COLUMNS - 1) + (ROWS - 2) * (COLUMNS - 1)
    assert float(fold_over_share(*roll(COLUMNS / 4 + 0.1))) == pytest.approx(across / inner)


@pytest.mark.parametrize("points", [folded_at(5), roll(1), roll(2.5), roll(1, seed=0)])
def test_against_loops(points):
    points, cells = points
    x, y = points[0].numpy(), cells.numpy()
    assert float(neighbour_ratio(points, cells)) == pytest.approx(naive_ratio(x, y))
    assert float(fold_over_share(points, cells)) == pytest.approx(naive_folds(x, y))


def test_a_grid_with_holes_against_loops():
    points, cells = roll(1)
    cells = torch.where(torch.rand(cells.shape, generator=torch.Generator().manual_seed(0)) < 0.2, -1, cells)
    assert float(neighbour_ratio(points, cells)) == pytest.approx(naive_ratio(points[0].numpy(), cells.numpy()))
    assert float(fold_over_share(points, cells)) == pytest.approx(naive_folds(points[0].numpy(), cells.numpy()))


def test_a_shuffled_grid_says_nothing_about_space():
    points, cells = roll(1, seed=1)
    assert float(neighbour_ratio(points, cells)) == pytest.approx(1, abs=0.1)
    assert float(fold_over_share(points, cells)) > 0.5
    assert float(neighbour_ratio(*roll(1))) < 0.3


def test_a_sheet_that_fell_on_one_point_has_no_numbers_and_others_of_the_batch_keep_theirs():
    points, cells = sheet(lambda x, y: (x, y, 0 * x))
    both = torch.cat([torch.zeros_like(points), points])
    for measure in (neighbour_ratio, fold_over_share):
        first, second = measure(both, cells)
        assert first.isnan()
        assert second == measure(points, cells)[0]


def test_a_grid_of_one_cell_has_no_numbers():
    cells = grid_cells(torch.tensor([[0.5, 0.5]]))
    assert neighbour_ratio(torch.zeros(1, 1, 3), cells).isnan()
    assert fold_over_share(torch.zeros(1, 1, 3), cells).isnan()


@pytest.mark.parametrize("points", [768, 1000, 101])
def test_the_grid_is_found_again_from_the_places_of_points(points):
    head = UpconvolutionHead(points, 8, (4, 8))
    cells = grid_cells(head.layout.uv)
    expected = torch.full(head.grid, -1).flatten()
    expected[head.cells] = torch.arange(points)
    assert torch.equal(cells, expected.reshape(head.grid))


def test_points_without_a_grid_are_left_out_of_it():
    cells = grid_cells(TwoBranchHead(1024, 8, (4, 8)).layout.uv)
    assert cells.shape == (24, 32)
    assert int(cells.min()) == 256
    with pytest.raises(UserError, match="no upconvolution branch"):
        grid_cells(torch.full((4, 2), torch.nan))
    with pytest.raises(UserError, match="one a cell"):
        grid_cells(torch.full((4, 2), 0.5))


def test_purity_of_known_labels():
    labels = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 2], [5, 5, 5]])
    assert cell_purity(labels, ["a", "a", "a", "b"]) == pytest.approx((3 + 2 + 2 + 3) / 12)
    assert cell_purity(labels[:1], ["a"]) == 1


def test_one_parameterisation_for_all_is_pure_and_a_permuted_one_is_as_pure_as_chance():
    generator = np.random.default_rng(0)
    own = np.repeat([0, 1, 2, 3], 25)
    labels = np.tile(own, (300, 1))
    assert cell_purity(labels, ["a"] * 300) == 1
    chance = permuted_purity(labels, ["a"] * 300)
    assert len(set(chance)) == 5
    expected = (generator.multinomial(300, [0.25] * 4, 20_000).max(1) / 300).mean()
    assert np.mean(chance) == pytest.approx(expected, abs=0.005)
    assert permuted_purity(labels, ["a"] * 300, [3]) == [chance[3]]


def test_groups_do_not_share_labels_or_cells():
    labels = np.array([[0, 1], [0, 1], [1, 0], [1, 0]])
    assert cell_purity(labels, ["a", "a", "b", "b"]) == 1
    assert cell_purity(labels, ["a"] * 4) == 0.5
