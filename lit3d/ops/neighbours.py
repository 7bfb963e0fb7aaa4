"""Nearest neighbours between batches of point sets, and the Chamfer distance made of them."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from lit3d.ops.checks import check_sets
from lit3d.ops.kernels import nearest_cuda, pool
from lit3d.ops.kernels.nearest import nearest_tiles


def nearest(x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"]) -> tuple[Float[Tensor, "b n"], Int[Tensor, "b n"]]:
    """For each point of `x` the squared distance to, and the index of, its nearest point in `y`; no gradient.

    Ties go to the smallest index. On the CPU in float32 or float64 a tiled kernel works without the n x m matrix, on a
    CUDA device one in triton; where triton is not installed plain torch does, in chunks.

    Raises:
        UserError: batch, dimension (2 or 3), dtype or device differ, a set is empty, or a coordinate is not finite.
    """
    check_sets(x, y)
    with torch.no_grad():
        if x.device.type == "cpu":
            return _nearest_cpu(x, y)
        return nearest_cuda.nearest(x, y) if x.is_cuda and nearest_cuda.AVAILABLE else nearest_reference(x, y)


def nearest_reference(
    x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"], chunk: int = 1024
) -> tuple[Float[Tensor, "b n"], Int[Tensor, "b n"]]:
    """What `nearest` means, in plain torch: differences (never the matrix-product form, which cancels), in chunks."""
    parts = [((x[:, i : i + chunk, None] - y[:, None]) ** 2).sum(-1).min(dim=2) for i in range(0, x.shape[1], chunk)]
    return torch.cat([p.values for p in parts], dim=1), torch.cat([p.indices for p in parts], dim=1)


def _nearest_cpu(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _rows_of_three(x), _rows_of_three(y)
    squared, index = np.empty(a.shape[:2], a.dtype), np.empty(a.shape[:2], np.int64)
    pool.over_samples(lambda i: nearest_tiles(a[i], b[i], squared[i], index[i]), range(len(a)))
    return torch.from_numpy(squared).to(x.dtype), torch.from_numpy(index)


def _rows_of_three(points: Tensor) -> np.ndarray:
    """The kernel knows three coordinates in float32 or float64: pad the plane with zeros, lift half precision."""
    wide = points.detach().to(torch.float64 if points.dtype == torch.float64 else torch.float32)
    if points.shape[-1] == 2:
        wide = torch.nn.functional.pad(wide, (0, 1))
    return wide.contiguous().numpy()


def gather_points(points: Float[Tensor, "b m d"], index: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
    """`points[b, index[b, i]]` with a gradient."""
    return points.gather(1, index[..., None].expand(-1, -1, points.shape[-1]))


def safe_sqrt(squared: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Square root whose gradient at 0 is 0, where the plain one is infinite and turns into NaN in the chain rule."""
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


class _SquaredToNearest(torch.autograd.Function):
    """`nearest(x, y)[0]` with its gradient through the nearest pairs: the kernel's distances are not computed twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        squared, index = nearest(x, y)
        ctx.save_for_backward(x, y, index)
        return squared

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, y, index = ctx.saved_tensors
        pull = 2 * grad[..., None] * (x - gather_points(y, index))
        if not ctx.needs_input_grad[1]:
            return pull, None
        return pull, torch.zeros_like(y).scatter_add_(1, index[..., None].expand_as(pull), -pull)


def chamfer(
    x: Float[Tensor, "b n d"],
    y: Float[Tensor, "b m d"],
    squared: bool = True,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Float[Tensor, " b"]:
    """Chamfer distance per sample, in the coordinates' unit (squared: its square), with gradients to both sides.

    w0 * mean_x min_y |x-y|^p + w1 * mean_y min_x |x-y|^p, p = 2 (`squared`) or 1: the Point Set Generation Network's
    distance (Fan et al. 2017, section 4.3) divided by the set sizes. At ties the gradient follows the first nearest
    point; at distance 0 it is 0.
    """
    forth, back = _SquaredToNearest.apply(x, y), _SquaredToNearest.apply(y, x)
    if not squared:
        forth, back = safe_sqrt(forth), safe_sqrt(back)
    return weights[0] * forth.mean(1) + weights[1] * back.mean(1)
