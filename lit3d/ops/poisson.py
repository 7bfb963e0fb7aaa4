"""An indicator function from oriented points: 1 inside, 0 outside, by one division in the Fourier domain.

The gradient of the indicator of a solid is minus its normals on its surface, so -laplace(chi) = div(sum of areas times
normals). Source: Kazhdan (2005), Kazhdan et al. (2006); spectral solution Peng et al., Shape As Points (2021). Each
point is spread over a disc of its tangent plane: then the surface has no holes between points, and the normal direction
needs hardly any smoothing, which a round kernel would have to pay for with all thin parts.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError

BYTES = 44  # a grid point: field, its spectrum, their sum, the indicator
SMOOTH = 0.5  # cells: standard deviation of the Gaussian


def check_memory(resolution: int, most_bytes: float) -> None:
    """Refuse a grid that would not fit.

    Raises:
        UserError: naming what it takes, the limit, and what fits.
    """
    if not 8 <= resolution:
        raise UserError(f"a grid of at least 8 cells a side is needed, got {resolution}")
    if BYTES * resolution**3 > most_bytes:
        fits = int((most_bytes / BYTES) ** (1 / 3))
        raise UserError(
            f"a grid of {resolution} cells a side takes {BYTES * resolution**3 / 1e9:.1f} GB and the limit is "
            f"{most_bytes / 1e9:.1f} GB: take at most {fits} cells or a larger limit"
        )


def indicator(
    places: Float[Tensor, "q 3"], vectors: Float[Tensor, "q 3"], resolution: int, half: float
) -> Float[Tensor, "r r r"]:
    """Indicator at the r^3 points -half + 2 half i / r of a periodic cube.

    Args:
        places: points of the surface, inside of the cube.
        vectors: outward normal times area of each.
        resolution: r.
        half: half the side of the cube.
    """
    cell = 2 * half / resolution
    index, weight = corners(places, resolution, half)
    waves = wave_numbers(resolution, cell)
    squared = waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2
    total = torch.zeros(squared.shape, dtype=torch.complex64)
    for axis, wave in enumerate(waves):
        field = torch.zeros(resolution**3).index_add_(0, index.flatten(), (weight * vectors[:, axis, None]).flatten())
        total += torch.fft.rfftn(field.view((resolution,) * 3)) * (1j * wave)
    squared[0, 0, 0] = 1
    total *= torch.exp(-0.5 * (SMOOTH * cell) ** 2 * squared) / squared / cell**3
    return torch.fft.irfftn(total, s=(resolution,) * 3)


def wave_numbers(resolution: int, cell: float) -> list[Tensor]:
    """Of the three axes, shaped so that they broadcast over a spectrum of `rfftn`."""
    whole = torch.fft.fftfreq(resolution, d=cell) * 2 * math.pi
    half = torch.fft.rfftfreq(resolution, d=cell) * 2 * math.pi
    return [whole[:, None, None], whole[None, :, None], half[None, None, :]]


def corners(places: Float[Tensor, "q 3"], resolution: int, half: float) -> tuple[Tensor, Tensor]:
    """Flat indices (q, 8) of the grid points around places, and the weights (q, 8) of linear interpolation."""
    at = (places + half) / (2 * half) * resolution
    first = at.floor().long().clamp(0, resolution - 1)
    share = (at - first).clamp(0, 1)
    index, weight = [], []
    for corner in range(8):
        step = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        x, y, z = ((first + step) % resolution).unbind(-1)
        index.append((x * resolution + y) * resolution + z)
        weight.append(torch.where(step.bool(), share, 1 - share).prod(-1))
    return torch.stack(index, dim=-1), torch.stack(weight, dim=-1)


def values_at(grid: Float[Tensor, "r r r"], places: Float[Tensor, "q 3"], half: float) -> Float[Tensor, " q"]:
    """A periodic grid, linearly interpolated."""
    index, weight = corners(places, grid.shape[0], half)
    return (grid.flatten()[index] * weight).sum(-1)
