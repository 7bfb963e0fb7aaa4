"""Values on a regular grid over the cube [-half, half]^3, x first; those of cell i stand at its centre."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def trilinear(grid: Float[Tensor, "b n n n"], places: Float[Tensor, "b q 3"], half: float) -> Float[Tensor, "b q"]:
    """Interpolated values; beyond the outermost centres the value of the nearest place that has one."""
    at = (places / half).flip(-1)[:, :, None, None]  # grid_sample names the last dimension first
    found = functional.grid_sample(grid[:, None], at, padding_mode="border", align_corners=False)
    return found[:, 0, :, 0, 0]


def splat(
    places: Float[Tensor, "b q 3"], values: Float[Tensor, "b q"], size: int, half: float
) -> tuple[Float[Tensor, "b n n n"], Float[Tensor, "b n n n"]]:
    """The transpose of `trilinear`: each value is shared out among the eight centres around its place.

    Returns:
        Sums of values and of weights: their quotient is a mean of the values around each centre. Places beyond the
        outermost centres count there; those outside of the cube do not count.
    """
    b = len(places)
    at = ((places / half + 1) * size / 2 - 0.5).clamp(0, size - 1)
    low = at.floor().clamp_max(max(size - 2, 0))
    share, low = at - low, low.long()
    inside = (places.abs() <= half).all(-1)
    sums, weights = (torch.zeros(b, size**3, device=places.device) for _ in range(2))
    for corner in torch.cartesian_prod(*[torch.arange(2, device=places.device)] * 3):
        weight = torch.where(corner == 1, share, 1 - share).prod(-1) * inside
        x, y, z = (low + corner).clamp_max(size - 1).unbind(-1)
        index = (x * size + y) * size + z
        sums.scatter_add_(1, index, weight * values)
        weights.scatter_add_(1, index, weight)
    return sums.view(b, size, size, size), weights.view(b, size, size, size)
