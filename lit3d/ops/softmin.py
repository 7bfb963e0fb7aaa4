"""The soft minimum of costs minus potentials, Sinkhorn's update, and its gradient: no n x m matrix is held.

On the CPU a compiled kernel, elsewhere plain torch in tiles, which is the definition.
"""

import math

import numpy as np
import torch
from torch import Tensor

from lit3d.ops.kernels import pool
from lit3d.ops.kernels import softmin as kernels

LOG2E = math.log2(math.e)
TILE = 1 << 22  # entries of a tile of costs in plain torch


def softmin(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """-epsilon log mean_j exp((potential_j - |x_i - y_j|^p) / epsilon): (b, n), no gradient. epsilon: (b, 1)."""
    if x.device.type == "cpu":
        return _softmin_cpu(x, y, potential, epsilon, p)
    return softmin_reference(x, y, potential, epsilon, p)


def softmin_reference(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """What `softmin` means, in plain torch, in tiles of rows."""
    rows = [torch.logsumexp(_exponents(r, y, potential, epsilon, p)[1], dim=2) for r in _tiles(x, y)]
    return epsilon * (math.log(y.shape[1]) - torch.cat(rows, dim=1))


def mean_slope(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """The gradient of `softmin` row i in x_i: (b, n, d), the slope of the cost averaged over row i of the plan."""
    if x.device.type == "cpu":
        return _mean_slope_cpu(x, y, potential, epsilon, p)
    return mean_slope_reference(x, y, potential, epsilon, p)


def mean_slope_reference(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """What `mean_slope` means, in plain torch, in tiles of rows."""
    slopes = []
    for rows in _tiles(x, y):
        cost, exponents = _exponents(rows, y, potential, epsilon, p)
        weight = exponents.softmax(dim=2)
        weight = 2 * weight if p == 2 else torch.where(cost > 0, weight / cost, 0.0)
        difference = (rows[:, :, None, d] - y[:, None, :, d] for d in range(x.shape[2]))
        slopes.append(torch.stack([(weight * along).sum(2) for along in difference], dim=2))
    return torch.cat(slopes, dim=1)


def _tiles(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return x.split(max(1, TILE // max(1, len(y) * y.shape[1])), dim=1)


def _exponents(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> tuple[Tensor, Tensor]:
    cost = sum(((x[:, :, None, d] - y[:, None, :, d]) ** 2 for d in range(1, x.shape[2])), start=_first(x, y))
    if p == 1:
        cost = cost.sqrt()
    return cost, (potential[:, None] - cost) / epsilon[:, None]


def _first(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, :, None, 0] - y[:, None, :, 0]) ** 2


def _softmin_cpu(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    a, b, h, rate = kernel_arrays(x, y, potential, epsilon)
    out = np.empty(a.shape[:2], a.dtype)
    pool.over_samples(lambda i: kernels.log_sums(a[i], b[i], h[i], rate[i], p == 2, out[i]), range(len(a)))
    return epsilon * (math.log(y.shape[1]) - torch.from_numpy(out) / LOG2E)


def _mean_slope_cpu(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    a, b, h, rate = kernel_arrays(x, y, potential, epsilon)
    out = np.empty(a.shape, a.dtype)
    pool.over_samples(lambda i: kernels.pulls(a[i], b[i], h[i], rate[i], p == 2, out[i]), range(len(a)))
    return torch.from_numpy(out)[..., : x.shape[2]]


def kernel_arrays(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor) -> tuple[np.ndarray, ...]:
    """What the kernels read: points, the potential and 1 / epsilon in base 2."""
    rate = LOG2E / epsilon
    a, b = kernel_points(x), kernel_points(y)
    return a, b, (potential * rate).contiguous().numpy(), rate[:, 0].contiguous().numpy()


def kernel_points(points: Tensor) -> np.ndarray:
    """Three coordinates (the plane gets a 0), contiguous."""
    padded: np.ndarray = torch.nn.functional.pad(points, (0, 3 - points.shape[2])).contiguous().numpy()
    return padded
