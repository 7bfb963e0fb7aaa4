"""Losses between a predicted and a true point set, one number a sample.

Each takes `pred` (b, n, d) and `target` (b, m, d), d = 2 or 3, in units of the object's longest side and returns (b,),
in float32 for half precision. Settings that cannot be and coordinates that are not finite are a `UserError`.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d import ops
from lit3d.errors import UserError

Loss = TypeVar("Loss", bound=Callable[..., Tensor])
Weights = Sequence[float | int]  # prediction to truth, truth to prediction


def over_pairs(loss: Loss) -> Loss:
    """Mark a loss that needs as many true as predicted points, so that a run with fewer is refused before it starts."""
    loss.over_pairs = True  # type: ignore[attr-defined]
    return loss


def cd(
    pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"], weights: Weights = (1.0, 1.0)
) -> Float[Tensor, " b"]:
    """Chamfer distance: mean squared distance to the nearest point, both directions added.

    Fan et al. 2017, section 4.3, divided by the set sizes. `weights`: prediction to truth, truth to prediction; a zero
    makes it one-sided.
    """
    return ops.chamfer(*lifted(pred, target), squared=True, weights=checked_weights(weights))


def cd_l1(
    pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"], weights: Weights = (1.0, 1.0)
) -> Float[Tensor, " b"]:
    """Chamfer distance of Euclidean distances: half of (mean + mean), as the metric `chamfer_l1`.

    Mescheder et al. 2019, supplement, without the factor 10. `weights` as in `cd`; the half stays.
    """
    return ops.chamfer(*lifted(pred, target), squared=False, weights=checked_weights(weights)) / 2


@over_pairs
def emd(pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, " b"]:
    """Earth Mover's Distance: mean matched Euclidean distance under an exact bijection.

    Fan et al. 2017, section 4.3, divided by the set size. A larger target is cut to its first n points, which are a
    uniform sample of the surface because stored points have no order.

    Raises:
        UserError: the target has fewer points than the prediction.
    """
    return ops.emd(pred, _first(target, pred.shape[1]))


@over_pairs
def emd_squared(pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, " b"]:
    """Mean matched squared distance under the bijection that makes it least: W2 squared.

    Under ambiguity its minimiser averages matched points, where that of `emd` takes their geometric median. Sizes as in
    `emd`.
    """
    return ops.emd(pred, _first(target, pred.shape[1]), squared=True)


def sinkhorn(
    pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"], blur: float = 0.05, p: int = 2
) -> Float[Tensor, " b"]:
    """Debiased Sinkhorn divergence (Feydy et al. 2019), for sets of any two sizes.

    Close to W_p^p where `blur` is small, 0 for equal sets. `blur`: length in units of the longest side; p: 2 or 1.
    """
    return ops.sinkhorn(pred, target, p=p, blur=blur)


def sliced(
    pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"], projections: int = 64, p: int = 2
) -> Float[Tensor, " b"]:
    """Sliced Wasserstein distance (Bonneel et al. 2015): mean over directions of W_p^p of the projections.

    The directions are a fixed, evenly spread set of `projections`, the same for all samples and steps: the loss is a
    function of its arguments alone.
    """
    return ops.sliced_wasserstein(pred, target, p=p, projections=projections)


@over_pairs
def l2_ordered(pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, " b"]:
    """Mean squared distance between points of equal index: the loss that does *not* work for sets.

    The order of the truth is arbitrary, so the best prediction is the same mean point n times: it collapses.
    """
    x, y = lifted(pred, _first(target, pred.shape[1]))
    return ((x - y) ** 2).sum(-1).mean(1)


def checked_weights(weights: Weights) -> tuple[float, float]:
    """The factors of both directions of a Chamfer distance.

    Raises:
        UserError: not two finite numbers that are 0 or more, or both are 0.
    """
    if len(weights) != 2 or not all(0 <= w < math.inf for w in weights) or not any(weights):
        raise UserError(
            "weights must be two finite numbers of 0 or more (prediction to truth, truth to prediction), not both 0, "
            f"but are {list(weights)}"
        )
    return float(weights[0]), float(weights[1])


def lifted(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Half precision as float32: a distance in bfloat16 is none."""
    if pred.dtype in (torch.float16, torch.bfloat16):
        return pred.float(), target.float()
    return pred, target


def _first(target: Float[Tensor, "b m d"], n: int) -> Float[Tensor, "b n d"]:
    if target.shape[1] < n:
        raise UserError(
            f"a loss over pairs needs as many true as predicted points, but the truth has {target.shape[1]} and the "
            f"prediction {n}: set data.points to {n} or more"
        )
    return target[:, :n]
