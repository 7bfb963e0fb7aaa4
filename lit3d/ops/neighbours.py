"""Nearest neighbours between batches of point sets, and the Chamfer distance made of them."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from lit3d.ops.checks import check_sets
from lit3d.ops.kernels import nearest_cpu, nearest_cuda

Found = tuple[Tensor, Tensor]  # squared distance and index, both (b, n)


def nearest(x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"]) -> tuple[Float[Tensor, "b n"], Int[Tensor, "b n"]]:
    """For each point of `x` the squared distance to, and the index of, its nearest point in `y`; no gradient.

    Ties go to the smallest index. Never an n x m matrix: on the CPU compiled kernels compare small sets in tiles and
    search large ones along a tree, on a CUDA device a kernel in triton does; plain torch in chunks where triton is
    not installed.

    Raises:
        UserError: batch, dimension (2 or 3), dtype or device differ, a set is empty, or a coordinate is not finite.
    """
    check_sets(x, y)
    with torch.no_grad():
        if x.device.type == "cpu":
            return nearest_cpu.search_pairs(x, y)[0]
        return nearest_cuda.nearest(x, y) if x.is_cuda and nearest_cuda.AVAILABLE else nearest_reference(x, y)


def nearest_reference(
    x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"], chunk: int = 1024
) -> tuple[Float[Tensor, "b n"], Int[Tensor, "b n"]]:
    """What `nearest` means, in plain torch: differences (never the matrix-product form, which cancels), in chunks."""
    parts = [((x[:, i : i + chunk, None] - y[:, None]) ** 2).sum(-1).min(dim=2) for i in range(0, x.shape[1], chunk)]
    return torch.cat([p.values for p in parts], dim=1), torch.cat([p.indices for p in parts], dim=1)


def nearest_both(x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"]) -> tuple[Found, Found]:
    """`nearest(x, y)` and `nearest(y, x)`: on the CPU large sets are brought in order once for both. No gradient.

    Raises:
        UserError: see `nearest`.
    """
    if x.device.type != "cpu":
        return nearest(x, y), nearest(y, x)
    check_sets(x, y)
    forth, back = nearest_cpu.search_pairs(x, y, both=True)
    return forth, back


def gather_points(points: Float[Tensor, "b m d"], index: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
    """`points[b, index[b, i]]` with a gradient."""
    return points.gather(1, index[..., None].expand(-1, -1, points.shape[-1]))


def safe_sqrt(squared: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Square root whose gradient at 0 is 0, where the plain one is infinite and turns into NaN in the chain rule."""
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


class _SquaredToNearest(torch.autograd.Function):
    """Squared distance of each point of two sets to the nearest of the other; gradients through these pairs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        (forth, forth_index), (back, back_index) = nearest_both(x, y)
        ctx.save_for_backward(x, y, forth_index, back_index)
        return forth, back

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, forth_grad: Tensor, back_grad: Tensor) -> tuple[Tensor, Tensor]:
        x, y, forth_index, back_index = ctx.saved_tensors
        pull = nearest_cpu.pull if x.device.type == "cpu" else pull_reference
        on_x, on_y = pull(x, y, forth_index, forth_grad)
        more_on_y, more_on_x = pull(y, x, back_index, back_grad)
        return on_x + more_on_x, on_y + more_on_y


def pull_reference(x: Tensor, y: Tensor, index: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of sum_i grad_i |x_i - y_index(i)|^2 in x and y."""
    pull = 2 * grad[..., None] * (x - gather_points(y, index))
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
    forth, back = _SquaredToNearest.apply(x, y)
    if not squared:
        forth, back = safe_sqrt(forth), safe_sqrt(back)
    return weights[0] * forth.mean(1) + weights[1] * back.mean(1)
