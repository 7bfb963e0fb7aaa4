"""Families of shapes with one hidden variable, in units of the usual member's longest side (Fan et al. 2017, figure 3).

A family's function maps hidden values (b,) and parameters (b, n, 3), uniform in the unit cube, to points (b, n, d) that
are uniform on the shapes. It draws nothing, so the same function serves independent and stratified points.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.data.hidden import Hidden
from lit3d.errors import UserError

Shapes = Callable[[Tensor, Tensor], Tensor]
STRATEGIES = ("stratified", "iid")
ANSWERS = ("median", "mean")
# steps of the second and third parameter: with i/n the golden ratio makes a lattice whose points keep their distance
STEPS = torch.tensor([(math.sqrt(5) - 1) / 2, math.sqrt(2) - 1], dtype=torch.float64)


@dataclass(frozen=True)
class Family:
    """Shapes that differ by one hidden number.

    Attributes:
        name: of run folders and tables.
        shape: (hidden (b,), parameters (b, n, 3)) -> points (b, n, dimension).
        hidden: distribution of the number.
        dimension: 2 or 3.
        analytic: which answers are members: `median`, the member at the median number, minimises the expected W1;
            `mean`, the one at the mean, the expected squared W2.
    """

    name: str
    shape: Shapes
    hidden: Hidden
    dimension: int = 2
    analytic: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse a function that does not do what is said of it."""
        if unknown := set(self.analytic) - set(ANSWERS):
            raise UserError(f"data.family.analytic may name median and mean, got {', '.join(sorted(unknown))}")
        found = tuple(self.points(torch.full((2,), 0.5), 5).shape)
        if found != (2, 5, self.dimension) or self.dimension not in (2, 3):
            raise UserError(
                f"family '{self.name}' must give points of shape (2, 5, {self.dimension}) in 2 or 3 dimensions for two "
                f"hidden values and five points, got {found}: see docs/mean_shape.md"
            )

    def points(
        self, share: Float[Tensor, " b"], n: int, sampling: str = "stratified", generator: torch.Generator | None = None
    ) -> Float[Tensor, "b n d"]:
        """N points of the members at quantiles `share` of the hidden number, in no order."""
        return self.shape(self.hidden.quantile(share), parameters(len(share), n, sampling, generator))

    def members(self, most: int) -> Float[Tensor, " k"]:
        """Quantiles that stand for all members: one a value where these are few, else `most` at equal steps."""
        if self.hidden.values is None:
            return (torch.arange(most) + 0.5) / most
        shares = torch.linspace(0, 1, 4097)[:-1]
        found = self.hidden.quantile(shares)
        return torch.stack([shares[found == value].mean() for value in found.unique()])

    def answer(self, name: str) -> Float[Tensor, " 1"]:
        """The hidden number of the member that is the `median` or the `mean`."""
        return self.hidden.quantile(torch.tensor([0.5])) if name == "median" else torch.tensor([self.hidden.mean])


def shares(
    count: int, sampling: str, generator: torch.Generator | None = None, within: Float[Tensor, " b"] | None = None
) -> Float[Tensor, " b"]:
    """Numbers in [0, 1) for quantiles: independent, or one in each of `count` equal parts, in random order.

    `within` says where in its part each lies; at random when None.
    """
    drawn = torch.rand(count, generator=generator)
    if sampling == "iid":
        return drawn
    spread = (torch.arange(count) + (drawn if within is None else within)) / count
    return spread[torch.randperm(count, generator=generator)].clamp(max=1 - 1e-7)


def parameters(b: int, n: int, sampling: str, generator: torch.Generator | None = None) -> Float[Tensor, "b n 3"]:
    """Points of the unit cube: independent, or a lattice shifted at random with its ends joined; in random order.

    The lattice (i/n, i g, i h) is equispaced along the first axis and even in the plane of the first two; a random
    shift makes each of its points uniform (Cranley, Patterson 1976).
    """
    if sampling == "iid":
        return torch.rand(b, n, 3, generator=generator)
    i = torch.arange(n, dtype=torch.float64)
    lattice = torch.stack([i / n, i * STEPS[0], i * STEPS[1]], dim=-1)
    shift = torch.rand(b, 1, 3, dtype=torch.float64, generator=generator)
    order = torch.rand(b, n, generator=generator).argsort(1)
    spread = (lattice[order] + shift).remainder(1.0)
    return spread.float().clamp(max=1 - 1e-7)


def _split(u: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each point belongs to the first part, which takes `share` of them, and the parameters within its part."""
    first = u[..., :1] < share
    within = torch.where(first, u[..., :1] / share, (u[..., :1] - share) / (1 - share).clamp(min=1e-6))
    return first, torch.cat([within, u[..., 1:]], dim=-1)


def _box(u: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    return centre + (u[..., : len(size)] - 0.5) * size


def _disk(u: Tensor, radius: float) -> Tensor:
    r, angle = radius * u[..., 0].sqrt(), 2 * torch.pi * u[..., 1]
    return torch.stack([r * angle.cos(), r * angle.sin()], dim=-1)


def _ball_surface(u: Tensor) -> Tensor:
    """The unit sphere: heights are uniform (Archimedes)."""
    z, angle = 1 - 2 * u[..., 0], 2 * torch.pi * u[..., 1]
    ring = (1 - z**2).clamp(min=0).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=-1)


def circle(hidden: Float[Tensor, " b"], u: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 2"]:
    """Circles around the origin; hidden: the radius."""
    angle = 2 * torch.pi * u[..., 0]
    return hidden[:, None, None] * torch.stack([angle.cos(), angle.sin()], dim=-1)


def sphere(hidden: Float[Tensor, " b"], u: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
    """Spheres around the origin; hidden: the radius."""
    return hidden[:, None, None] * _ball_surface(u)


def arc(
    hidden: Float[Tensor, " b"], u: Float[Tensor, "b n 3"], spikes: int = 6, inner: float = 0.3, outer: float = 0.5
) -> Float[Tensor, "b n 2"]:
    """A half circle with spikes; hidden: how far it has moved along the diagonal."""
    angle = torch.linspace(0, torch.pi, 2 * spikes + 1)
    radius = torch.where(torch.arange(2 * spikes + 1) % 2 == 1, outer, inner)
    corners = torch.stack([radius * angle.cos(), radius * angle.sin() - outer / 2], dim=-1)
    lengths = (corners[1:] - corners[:-1]).norm(dim=-1).cumsum(0)
    along = u[..., 0] * lengths[-1]
    piece = torch.searchsorted(lengths[:-1].contiguous(), along.contiguous())
    start = torch.cat([lengths.new_zeros(1), lengths])[piece]
    t = ((along - start) / (lengths[piece] - start))[..., None]
    return corners[piece] * (1 - t) + corners[piece + 1] * t + hidden[:, None, None] * math.sqrt(0.5)


BAR = torch.tensor([0.3, 1.0])  # width and height of the solid bar
EXTRA = 0.25  # share of the points in what stands beside it
CORNERS = torch.tensor([[-0.3, 0.35], [0.3, 0.35], [-0.3, -0.35], [0.3, -0.35]])
DISK, DISK_RADIUS = torch.tensor([0.5, 0.0]), 0.17


def corners(hidden: Float[Tensor, " b"], u: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 2"]:
    """A solid bar with a square of side 0.3 attached beside one of its ends; hidden: which of four places, 0 ... 3."""
    bar, within = _split(u, torch.tensor(1 - EXTRA))
    place = CORNERS[hidden.long()][:, None]
    square = place + (within[..., :2] - 0.5) * BAR[0]
    return torch.where(bar, _box(within, torch.zeros(2), BAR), square)


def bar_and_disk(hidden: Float[Tensor, " b"], u: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 2"]:
    """A solid bar, and a disk beside it where hidden is 1, with a quarter of the points."""
    bar, within = _split(u, (1 - EXTRA * (hidden > 0.5).float())[:, None, None])
    return torch.where(bar, _box(within, torch.zeros(2), BAR), DISK + _disk(within, DISK_RADIUS))


def knob(
    hidden: Float[Tensor, " b"], u: Float[Tensor, "b n 3"], side: float = 0.7, radius: float = 0.12, places: int = 4
) -> Float[Tensor, "b n 3"]:
    """The surface of a cube with a round knob, a fifth of the points, on one of `places` sides; hidden: which."""
    cube, within = _split(u, torch.tensor(0.8))
    face = (within[..., 0] * 6).long().clamp(max=5)
    flat = (within[..., 1:] - 0.5) * side
    wall = (face % 2 * 2 - 1) * side / 2
    axis = face // 2
    on_cube = torch.stack([flat[..., 0], flat[..., 1], wall], dim=-1)
    turn = (torch.arange(3) + 2 - axis[..., None]) % 3
    ways = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1], [0, 1, 0], [0, -1, 0]])[:places]
    middle = ways[hidden.long()][:, None] * (side / 2 + radius)
    return torch.where(cube, on_cube.gather(-1, turn), middle + radius * _ball_surface(within))
