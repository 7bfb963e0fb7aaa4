"""How well an image of coordinates parameterises a surface: smooth, without folds, the same for all objects.

A sheet is the upconvolution branch's grid of points (Fan, Su, Guibas 2017, section 5.5). `cells` (rows, columns) holds
the index of the point of each grid cell, -1 where there is none.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.neighbours import safe_sqrt


def grid_cells(uv: Float[Tensor, "n 2"]) -> Int[Tensor, "rows columns"]:
    """The grid that the (column, row) places of points make: a point's index in each cell, -1 where there is none.

    Points with NaN belong to no grid. A single point makes a grid of one cell.

    Raises:
        UserError: no point lies on a grid, or two share a cell.
    """
    index = (~uv.isnan().any(1)).nonzero()[:, 0]
    if not len(index):
        raise UserError("none of the points lies on a grid: the head has no upconvolution branch")
    (us, column), (vs, row) = (torch.unique(uv[index, k], return_inverse=True) for k in (0, 1))
    cells = torch.full((len(vs), len(us)), -1, dtype=torch.long, device=uv.device)
    cells[row, column] = index
    if int((cells >= 0).sum()) != len(index):
        raise UserError(f"{len(index)} points lie in {int((cells >= 0).sum())} cells of the grid: expected one a cell")
    return cells


def neighbour_ratio(points: Float[Tensor, "b n 3"], cells: Int[Tensor, "rows columns"]) -> Float[Tensor, " b"]:
    """Mean distance of points that are neighbours on the grid over the mean distance of all pairs of its points.

    1 where the grid says nothing about space (its cells shuffled), `flat_ratio` on a flat sheet. NaN where all points
    coincide or there are no neighbours. Neighbours share a side of their cells.
    """
    pairs = torch.cat([_pairs(cells[:, :-1], cells[:, 1:]), _pairs(cells[:-1], cells[1:])])
    near = safe_sqrt(((points[:, pairs[:, 0]] - points[:, pairs[:, 1]]) ** 2).sum(-1)).mean(1)
    mine = points[:, cells[cells >= 0]]
    count = mine.shape[1]
    all_pairs = torch.cdist(mine, mine, compute_mode="donot_use_mm_for_euclid_dist")  # the other form cancels
    return near * max(1, count * (count - 1)) / all_pairs.sum((1, 2))


def flat_ratio(cells: Int[Tensor, "rows columns"]) -> float:
    """`neighbour_ratio` of the flat sheet with square cells: the smallest to be had from a sheet of that grid."""
    row, column = (cells >= 0).nonzero(as_tuple=True)
    flat = torch.stack([column, row, torch.zeros_like(row)], dim=1).double()
    own = torch.full_like(cells, -1)
    own[row, column] = torch.arange(len(row), device=cells.device)
    return float(neighbour_ratio(flat[None], own)[0])


def _pairs(a: Tensor, b: Tensor) -> Int[Tensor, "p 2"]:
    pairs = torch.stack([a.flatten(), b.flatten()], dim=1)
    return pairs[(pairs >= 0).all(1)]


def fold_over_share(points: Float[Tensor, "b n 3"], cells: Int[Tensor, "rows columns"]) -> Float[Tensor, " b"]:
    """Share of the sheet's inner edges across which it turns by more than 90 degrees.

    Each square of four neighbouring cells is cut into two triangles, upper left and lower right, both wound alike. An
    inner edge belongs to two triangles; it counts as a fold if the dot product of their unit normals is negative. 0 on
    a smooth sheet, a fold along one grid line counts that line's edges only, and a shuffled grid has a fold at more
    than half of its edges. Triangles without area have no normal: their edges are left out; NaN if no edge is left.
    """
    triangles, edges = _sheet(cells)
    a, b, c = (points[:, triangles[:, k]] for k in range(3))
    normal = torch.linalg.cross(b - a, c - a)
    first, second = normal[:, edges[:, 0]], normal[:, edges[:, 1]]
    has_area = (first != 0).any(-1) & (second != 0).any(-1)
    folded = ((first * second).sum(-1) < 0) & has_area
    return folded.sum(1) / has_area.sum(1)


def _sheet(cells: Tensor) -> tuple[Int[Tensor, "t 3"], Int[Tensor, "e 2"]]:
    """Triangles as point indices, and the pairs of triangles that share an edge."""
    a, b, c, d = cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]
    both = torch.stack([torch.stack([a, b, c], -1), torch.stack([d, c, b], -1)])  # 2, rows - 1, columns - 1, 3
    whole = (both >= 0).all(-1)
    number = torch.full_like(whole, -1, dtype=torch.long)
    number[whole] = torch.arange(int(whole.sum()), device=cells.device)
    upper, lower = number
    across = [(upper, lower), (lower[:, :-1], upper[:, 1:]), (lower[:-1], upper[1:])]  # diagonal, right, below
    return both[whole], torch.cat([_pairs(x, y) for x, y in across])


def cell_purity(labels: Int[np.ndarray, "o k"], groups: Sequence[str]) -> float:
    """How alike objects of a group use a cell: the share of the cell's most frequent label among them.

    Args:
        labels: of each of k cells, for o objects; the same number means the same thing within a group.
        groups: the category of each object.

    Returns:
        Mean over cells, then over objects (so that each group weighs as many objects as it has).
    """
    names = np.asarray(groups)
    most = [_most_frequent(labels[names == name]) for name in dict.fromkeys(groups)]
    return float(sum(m.sum() for m in most) / labels.size)


def _most_frequent(labels: Int[np.ndarray, "o k"]) -> Int[np.ndarray, " k"]:
    values, inverse = np.unique(labels, return_inverse=True)
    cells, width = labels.shape[1], len(values)
    places = inverse.reshape(labels.shape) + width * np.arange(cells)
    return np.bincount(places.ravel(), minlength=cells * width).reshape(cells, width).max(axis=1)


def permuted_purity(
    labels: Int[np.ndarray, "o k"], groups: Sequence[str], seeds: Sequence[int] = (0, 1, 2, 3, 4)
) -> list[float]:
    """`cell_purity` after each object's labels were permuted over its cells: what large parts and few objects give.

    Args:
        labels: see `cell_purity`.
        groups: see `cell_purity`.
        seeds: one value for each.
    """
    return [cell_purity(np.random.default_rng(s).permuted(labels, axis=1), groups) for s in seeds]
