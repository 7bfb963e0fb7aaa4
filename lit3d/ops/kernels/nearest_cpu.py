"""Nearest neighbours of batches on the CPU: chooses between tiles and the tree, and shares the work among threads."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lit3d.ops.kernels import pool
from lit3d.ops.kernels.nearest import TILE, nearest_batch, pull_pairs
from lit3d.ops.kernels.nearest_tree import ordered, search

ROWS = 4096  # queries of a large set that one thread takes at a time
ORDER, SEARCH = 280, 560  # cost of ordering a point, of searching for one, in distances of a tile (AVX-512, measured)
LITTLE = 1_000_000  # distances times 3 that one thread computes before another is awake


def search_pairs(x: Tensor, y: Tensor, both: bool = False) -> list[tuple[Tensor, Tensor]]:
    """Squared distance and index (b, n) from x (b, n, d) to y (b, m, d); with `both` also from y to x."""
    a, b = _rows_of_three(x), _rows_of_three(y)
    pairs = [(a, b), (b, a)] if both else [(a, b)]
    found = [(np.empty(p.shape[:2], p.dtype), np.empty(p.shape[:2], np.int64)) for p, _ in pairs]
    if use_tree(a.shape[1], b.shape[1], both):
        along_trees(a, b, found)
    else:
        for (p, q), (squared, index) in zip(pairs, found, strict=True):
            _in_slices(p.size * q.shape[1], nearest_batch, p, q, squared, index)
    return [(torch.from_numpy(squared).to(x.dtype), torch.from_numpy(index)) for squared, index in found]


def along_trees(a: np.ndarray, b: np.ndarray, found: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Both sides of each pair in order, then the directions that `found` has room for."""
    sets = pool.over_samples(ordered, [*a, *b])
    xs, ys = sets[: len(a)], sets[len(a) :]
    jobs = [
        (start, min(start + ROWS, len(squared)), queries, points, squared, index)
        for sides, out in zip(((xs, ys), (ys, xs)), found, strict=False)
        for queries, points, squared, index in zip(*sides, *out, strict=True)
        for start in range(0, len(squared), ROWS)
    ]
    pool.over_samples(lambda j: search(*j[:2], j[2].at, j[2].order, *j[3], *j[4:]), jobs)


def _in_slices(work: int, function: Callable[..., None], *arrays: np.ndarray) -> None:
    """Calls `function` on slices of the batch, several at a time; at once where waking a thread would cost more."""
    batch = len(arrays[0])
    size = batch if work < LITTLE else -(-batch // (4 * pool.threads()))
    slices = [slice(start, start + size) for start in range(0, batch, max(size, 1))]
    pool.over_samples(lambda part: function(*(array[part] for array in arrays)), slices)


def use_tree(n: int, m: int, both: bool = False) -> bool:
    """Whether ordering and searching n queries and m points costs less than all n m distances."""
    if both:
        return 2 * n * m > (ORDER + SEARCH) * (n + m)
    queries = max(n, TILE)  # a tile is computed whole
    return queries * m > ORDER * (n + m) + SEARCH * queries


def pull(x: Tensor, y: Tensor, index: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of sum_i grad_i |x_i - y_index(i)|^2 in x and y."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    on_x, on_y = torch.empty(x.shape, dtype=wide), torch.zeros(y.shape, dtype=wide)
    wider = [t.detach().to(wide).contiguous().numpy() for t in (x, y, grad)]
    _in_slices(20 * x.numel(), pull_pairs, index.numpy(), *wider, on_x.numpy(), on_y.numpy())
    return on_x.to(x.dtype), on_y.to(y.dtype)


def _rows_of_three(points: Tensor) -> np.ndarray:
    """The kernels know three coordinates in float32 or float64: pad the plane with zeros, lift half precision."""
    wide = points.detach().to(torch.float64 if points.dtype == torch.float64 else torch.float32)
    if points.shape[-1] == 2:
        wide = torch.nn.functional.pad(wide, (0, 1))
    return wide.contiguous().numpy()
