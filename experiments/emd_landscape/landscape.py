"""EMD, its pieces and other distances while one point of the first set moves along a line. Numbers only."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d import losses, ops

# Three true points, two of the other set that stay; the third moves along the line. Found by trying random ones: the
# best bijection changes three times on the way, clearly and well apart, and the line meets none of the points.
TRUTH = ((0.71, 0.41), (0.74, 0.13), (0.16, 0.33))
FIXED = ((0.08, 0.76), (0.35, 0.83))
START, END = (-0.10, 0.50), (1.10, 0.43)
BLURS = (0.3, 0.05)


@dataclass(frozen=True)
class Landscape:
    """All curves over k positions on the line.

    Attributes:
        at: position on the line, in units of length from `START`.
        moving: the moving point.
        emd: mean matched Euclidean distance.
        pieces: the same under each of the n! bijections, whose minimum `emd` is.
        bijections: partner of each point under each piece; the moving point is the last.
        active: which piece is least.
        others: further distances by name.
        slopes: derivative along the line of `emd` and each of the others, by name.
    """

    at: Float[Tensor, " k"]
    moving: Float[Tensor, "k d"]
    emd: Float[Tensor, " k"]
    pieces: Float[Tensor, "k p"]
    bijections: Int[Tensor, "p n"]
    active: Int[Tensor, " k"]
    others: dict[str, Float[Tensor, " k"]]
    slopes: dict[str, Float[Tensor, " k"]]

    def kinks(self) -> list[int]:
        """Indices i at which the best bijection changes between positions i - 1 and i."""
        return (self.active[1:] != self.active[:-1]).nonzero().flatten().add(1).tolist()


def landscape(
    fixed: Float[Tensor, "f d"], truth: Float[Tensor, "n d"], start: Float[Tensor, " d"], end: Float[Tensor, " d"],
    count: int = 600,
) -> Landscape:  # fmt: skip
    """Every curve at `count` positions from start to end; the first set is `fixed` and the moving point, n = f + 1."""
    share = torch.linspace(0, 1, count, dtype=fixed.dtype)[:, None]
    moving = start + share * (end - start)
    direction = (end - start) / (end - start).norm()
    bijections = torch.tensor(list(permutations(range(len(truth)))))
    values, slopes = {}, {}
    for name, distance in distances().items():
        x = first_sets(fixed, moving).requires_grad_()
        value = distance(x, truth.expand(count, -1, -1))
        (pull,) = torch.autograd.grad(value.sum(), x)
        values[name], slopes[name] = value.detach(), pull[:, -1] @ direction
    costs = pieces(first_sets(fixed, moving), truth, bijections)
    at = share[:, 0] * (end - start).norm()
    return Landscape(at, moving, values.pop("emd"), costs, bijections, costs.argmin(1), values, slopes)


def distances() -> dict[str, Callable[..., Tensor]]:
    """What is drawn, in one unit: lengths, or (Sinkhorn with p = 1) close to them."""
    found = {"emd": ops.emd, "cd_l1": losses.cd_l1}
    for blur in BLURS:
        found[f"sinkhorn {blur:g}"] = lambda x, y, blur=blur: losses.sinkhorn(x, y, blur=blur, p=1)
    return found


def first_sets(fixed: Float[Tensor, "f d"], moving: Float[Tensor, "k d"]) -> Float[Tensor, "k n d"]:
    """The fixed points with each position of the moving one as last point."""
    return torch.cat([fixed.expand(len(moving), -1, -1), moving[:, None]], dim=1)


def pieces(
    x: Float[Tensor, "k n d"], truth: Float[Tensor, "n d"], bijections: Int[Tensor, "p n"]
) -> Float[Tensor, "k p"]:
    """Mean matched distance of each set under each bijection: smooth curves, except where matched points meet."""
    return torch.stack([(x - truth[partner]).norm(dim=-1).mean(1) for partner in bijections], dim=1)


def default(count: int = 600) -> Landscape:
    """The figure's landscape."""
    fixed, truth, start, end = (torch.tensor(p, dtype=torch.float64) for p in (FIXED, TRUTH, START, END))
    return landscape(fixed, truth, start, end, count)
