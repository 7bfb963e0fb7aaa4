"""Losses between a predicted and a true point set, one number a sample.

Each takes `pred` (b, n, d) and `target` (b, m, d) in units of the object's longest side and returns (b,).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from lit3d import ops
from lit3d.errors import UserError


def cd(
    pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"], weights: Sequence[float] = (1.0, 1.0)
) -> Float[Tensor, " b"]:
    """Chamfer distance: mean squared distance to the nearest point, both directions added.

    Fan et al. 2017, section 4.3, divided by the set sizes. `weights`: prediction to truth, truth to prediction.
    """
    forth, back = weights
    return ops.chamfer(pred, target, squared=True, weights=(forth, back))


def emd(pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, " b"]:
    """Earth Mover's Distance: mean matched Euclidean distance under an exact bijection.

    Fan et al. 2017, section 4.3, divided by the set size. A larger target is cut to its first n points, which are a
    uniform sample of the surface because stored points have no order.

    Raises:
        UserError: the target has fewer points than the prediction.
    """
    return ops.emd(pred, _first(target, pred.shape[1]))


def emd_squared(pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, " b"]:
    """Squared 2-Wasserstein distance: mean matched squared distance under an exact bijection; truth cut as for `emd`.

    Raises:
        UserError: the target has fewer points than the prediction.
    """
    return ops.emd(pred, _first(target, pred.shape[1]), squared=True)


def l2_ordered(pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, " b"]:
    """Mean squared distance between points of equal index: the loss that does *not* work for sets.

    The order of the truth is arbitrary, so the best prediction is the same mean point n times: it collapses.
    """
    return ((pred - _first(target, pred.shape[1])) ** 2).sum(-1).mean(1)


def _first(target: Float[Tensor, "b m d"], n: int) -> Float[Tensor, "b n d"]:
    if target.shape[1] < n:
        raise UserError(
            f"a loss over pairs needs as many true as predicted points, but the truth has {target.shape[1]} and the "
            f"prediction {n}: set data.points to {n} or more"
        )
    return target[:, :n]
