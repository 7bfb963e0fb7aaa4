"""What a mean shape looks like beside the members of its family. All in units of the usual member's longest side."""

from jaxtyping import Bool, Float
from torch import Tensor

from lit3d import ops

TOLERANCE = 0.02  # a point this near to a member lies on it


def radius(points: Float[Tensor, "n d"]) -> dict[str, float]:
    """Distance from the origin: `mean`, `median`, and `spread`, its standard deviation over its mean."""
    lengths = points.norm(dim=-1)
    return {
        "mean": float(lengths.mean()),
        "median": float(lengths.quantile(0.5)),
        "spread": float(lengths.std(correction=0) / lengths.mean().clamp(min=1e-12)),
    }


def on_members(
    points: Float[Tensor, "n d"], members: Float[Tensor, "k m d"], tolerance: float = TOLERANCE
) -> Bool[Tensor, "k n"]:
    """Which points lie on which members, given by samples whose spacing is well below the tolerance."""
    squared = ops.nearest(points.expand(len(members), -1, -1), members)[0]
    return squared <= tolerance**2


def off_member(on: Bool[Tensor, "k n"]) -> float:
    """The smallest share, over members, of points that are not on it: 0 looks like one real member."""
    return float((~on).float().mean(1).min())


def between(on: Bool[Tensor, "k n"]) -> float:
    """Share of the points that are on no member."""
    return float((~on.any(0)).float().mean())


def at_places(on: Bool[Tensor, "k n"]) -> Float[Tensor, " k"]:
    """Share of the points that are on member k and on no other: in the place that only it occupies."""
    return (on & (on.sum(0) == 1)).float().mean(1)


def closest_emd(points: Float[Tensor, "n d"], samples: Float[Tensor, "k n d"]) -> float:
    """Smallest Earth Mover's distance to any of several samples of one shape, which differ in phase alone."""
    return float(ops.emd(points.expand_as(samples), samples).min())
