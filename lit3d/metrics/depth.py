"""Errors of depth, one number a sample, with the alignment in each name.

`depth` and `true_depth` (b, 1, h, w) are camera z; errors with a unit are in the scene's. Scores run over the pixels of
the mask whose true depth is finite and above 0. Sums are in float64. Ratios and logarithms take a predicted depth below
`LEAST` for `LEAST`.
"""

import math
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.depth import valid_depth
from lit3d.ops.masked import masked_mean, masked_median

Map = Float[Tensor, "b 1 h w"]
Mask = Bool[Tensor, "b 1 h w"]
LEAST = 1e-3


class Pixels(NamedTuple):
    """Predicted and true depth in float64, 1 off the valid pixels, which come last."""

    depth: Map
    truth: Map
    valid: Mask

    def mean(self, values: Map) -> Float[Tensor, " b"]:
        """Over valid pixels."""
        return masked_mean(values, self.valid)

    def log(self) -> Map:
        """Log d - log g."""
        return self.depth.clamp_min(LEAST).log() - self.truth.log()


def pixels(depth: Map, true_depth: Map, mask: Mask) -> Pixels:
    """What all scores below are made of."""
    valid = valid_depth(true_depth, mask)
    d, g = (torch.where(valid, x.double(), 1.0) for x in (depth, true_depth))
    return Pixels(d, g, valid)


# --- scores -----------------------------------------------------------------------------------------------------------


def abs_rel(p: Pixels) -> Float[Tensor, " b"]:
    """Mean |d - g| / g."""
    return p.mean((p.depth - p.truth).abs() / p.truth)


def sq_rel(p: Pixels) -> Float[Tensor, " b"]:
    """Mean (d - g)^2 / g, in the scene's unit."""
    return p.mean((p.depth - p.truth).square() / p.truth)


def depth_mae(p: Pixels) -> Float[Tensor, " b"]:
    """Mean |d - g|, in the scene's unit."""
    return p.mean((p.depth - p.truth).abs())


def rmse(p: Pixels) -> Float[Tensor, " b"]:
    """Root of the mean (d - g)^2 of the image, in the scene's unit."""
    return p.mean((p.depth - p.truth).square()).sqrt()


def rmse_log(p: Pixels) -> Float[Tensor, " b"]:
    """Root of the mean (log d - log g)^2, natural logarithm."""
    return p.mean(p.log().square()).sqrt()


def log10(p: Pixels) -> Float[Tensor, " b"]:
    """Mean |log10 d - log10 g|."""
    return p.mean(p.log().abs()) / math.log(10)


def silog(p: Pixels) -> Float[Tensor, " b"]:
    """Root of mean e^2 - (mean e)^2 / 2 with e = log d - log g, as Depth Anything V2; KITTI's has 1 for 1/2, x 100."""
    mean = p.mean(p.log())
    return (p.mean((p.log() - mean[:, None, None, None]).square()) + mean.square() / 2).sqrt()


def delta(p: Pixels, k: int) -> Float[Tensor, " b"]:
    """Share of pixels with max(d/g, g/d) < 1.25^k, strictly."""
    ratio = p.depth.clamp_min(LEAST) / p.truth
    return p.mean((torch.maximum(ratio, 1 / ratio) < 1.25**k).double())


Score = Callable[[Pixels], Tensor]
SCORES: MappingProxyType[str, Score] = MappingProxyType({
    "abs_rel": abs_rel, "sq_rel": sq_rel, "depth_mae": depth_mae, "rmse": rmse, "rmse_log": rmse_log, "log10": log10,
    "silog": silog, "delta1": lambda p: delta(p, 1), "delta2": lambda p: delta(p, 2), "delta3": lambda p: delta(p, 3),
})  # fmt: skip
WORST = MappingProxyType(
    dict.fromkeys(SCORES, 1.0)
    | dict.fromkeys(("depth_mae", "rmse"), math.sqrt(3))
    | dict.fromkeys(("delta1", "delta2", "delta3"), 0.0)
)


# --- alignment --------------------------------------------------------------------------------------------------------


def aligned(p: Pixels, how: str) -> Pixels:
    """The prediction brought to the truth of its own image, which flatters it: by as much as the name says.

    none: as it is. median: times median g / median d (Zhou et al. 2017). scale: times the s of least mean
    (s d - g)^2. scale_shift: s d + t of least mean squared error, in depth (MiDaS does it in 1/depth). Where a constant
    prediction or one around 0 leaves a scale open it is 1, and the shift then the best.

    Raises:
        UserError: no such alignment.
    """
    if how not in ALIGNMENTS:
        raise UserError(f"an alignment is one of {', '.join(ALIGNMENTS)}, but is '{how}'")
    return Pixels(ALIGNMENTS[how](p), p.truth, p.valid)


def median_ratio(p: Pixels) -> Float[Tensor, "b 1 1 1"]:
    """Median g / median d, by which a whole map is scaled, also off the valid pixels."""
    return _ratio(masked_median(p.truth, p.valid), masked_median(p.depth, p.valid))


def _median(p: Pixels) -> Tensor:
    return p.depth * median_ratio(p)


def _scale(p: Pixels) -> Tensor:
    return p.depth * _ratio(p.mean(p.depth * p.truth), p.mean(p.depth.square()))


def _scale_shift(p: Pixels) -> Tensor:
    d, g = (x - p.mean(x)[:, None, None, None] for x in (p.depth, p.truth))
    return d * _ratio(p.mean(d * g), p.mean(d.square())) + p.mean(p.truth)[:, None, None, None]


def _ratio(a: Float[Tensor, " b"], b: Float[Tensor, " b"]) -> Float[Tensor, "b 1 1 1"]:
    return torch.where(b > 1e-12, a / torch.where(b > 1e-12, b, 1.0), 1.0)[:, None, None, None]


ALIGNMENTS: MappingProxyType[str, Callable[[Pixels], Tensor]] = MappingProxyType(
    {"none": lambda p: p.depth, "median": _median, "scale": _scale, "scale_shift": _scale_shift}
)


# --- all of them ------------------------------------------------------------------------------------------------------


def depth_failure(depth: Map, true_depth: Map, mask: Mask) -> Bool[Tensor, " b"]:
    """Samples that cannot be scored: a valid pixel's prediction is not finite, or there is no valid pixel."""
    valid = valid_depth(true_depth, mask)
    return (valid & ~depth.isfinite()).flatten(1).any(1) | ~valid.flatten(1).any(1)


def depth_scores(
    depth: Map, true_depth: Map, mask: Mask, alignment: str = "none", names: Sequence[str] = tuple(SCORES)
) -> dict[str, Float[Tensor, " b"]]:
    """Scores by name, `abs_rel` unaligned, else `abs_rel_median`, `abs_rel_scale`, `abs_rel_scale_shift`.

    A sample that `depth_failure` names gets `WORST`: 1 for relative and logarithmic errors, sqrt(3) (the diagonal of
    the unit cube) for those in the scene's unit, 0 for shares. Finite scores are not clipped.
    """
    failed = depth_failure(depth, true_depth, mask)
    p = pixels(torch.where(failed[:, None, None, None], 1.0, depth), true_depth, mask)
    p, suffix = aligned(p, alignment), "" if alignment == "none" else f"_{alignment}"
    return {f"{n}{suffix}": torch.where(failed, WORST[n], SCORES[n](p)).to(depth.dtype) for n in names}
