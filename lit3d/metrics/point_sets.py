"""Scores between a predicted and a true point set, one number a sample.

`pred` (b, n, 3) and `truth` (b, m, 3) are in units of the object's longest side. The convention is part of each name.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d import ops
from lit3d.errors import UserError
from lit3d.ops.neighbours import gather_points, nearest_both, safe_sqrt


class Distances(NamedTuple):
    """Euclidean distance of each point to the nearest of the other set."""

    accuracy: Float[Tensor, "b n"]  # prediction to truth
    completeness: Float[Tensor, "b m"]  # truth to prediction


def distances(pred: Float[Tensor, "b n 3"], truth: Float[Tensor, "b m 3"]) -> Distances:
    """What all scores below are made of, computed once."""
    (accuracy, _), (completeness, _) = nearest_both(pred, truth)
    return Distances(safe_sqrt(accuracy), safe_sqrt(completeness))


def chamfer_l1(d: Distances) -> Float[Tensor, " b"]:
    """Half the sum of the two mean Euclidean distances (Occupancy Networks' Chamfer-L1 without its factor 10)."""
    return (d.accuracy.mean(1) + d.completeness.mean(1)) / 2


def chamfer_l2sq(d: Distances) -> Float[Tensor, " b"]:
    """Sum of the two mean squared distances (PyTorch3D's chamfer_distance, AtlasNet without its factor 1000)."""
    return d.accuracy.square().mean(1) + d.completeness.square().mean(1)


def precision(d: Distances, radius: float) -> Float[Tensor, " b"]:
    """Share of predicted points strictly nearer than `radius` to the truth."""
    return (d.accuracy < radius).to(d.accuracy.dtype).mean(1)


def recall(d: Distances, radius: float) -> Float[Tensor, " b"]:
    """Share of true points strictly nearer than `radius` to the prediction."""
    return (d.completeness < radius).to(d.completeness.dtype).mean(1)


def fscore(d: Distances, radius: float) -> Float[Tensor, " b"]:
    """Harmonic mean of precision and recall; 0 where both are 0 (Knapitsch et al. 2017; Tatarchenko et al. 2019)."""
    p, r = precision(d, radius), recall(d, radius)
    return torch.where(p + r > 0, 2 * p * r / (p + r).clamp_min(1e-12), 0.0)


def emd(pred: Float[Tensor, "b n 3"], truth: Float[Tensor, "b m 3"], points: int = 1024) -> Float[Tensor, " b"]:
    """Mean matched Euclidean distance under an exact bijection, between `points` points of each.

    The first `points` are taken: stored truth and set predictions have no order.

    Raises:
        UserError: either set is smaller than `points`.
    """
    if min(pred.shape[1], truth.shape[1]) < points:
        raise UserError(f"emd over {points} points, but the sets have {pred.shape[1]} and {truth.shape[1]}")
    return ops.emd(pred[:, :points], truth[:, :points]).to(pred.dtype)


def normal_consistency(
    pred: Float[Tensor, "b n 3"],
    pred_normals: Float[Tensor, "b n 3"],
    truth: Float[Tensor, "b m 3"],
    truth_normals: Float[Tensor, "b m 3"],
) -> Float[Tensor, " b"]:
    """Mean |cos| between the normals of nearest points, the two directions averaged; 1 is best.

    Occupancy Networks' normal consistency (Mescheder et al. 2019, supplement), Mesh R-CNN's *absolute* normal
    consistency: which side a normal points to does not count. Normals need not be of unit length; one that is zero or
    not finite agrees with nothing.
    """
    (_, to_truth), (_, to_pred) = nearest_both(pred, truth)
    ours, theirs = _unit(pred_normals), _unit(truth_normals)
    forth = (ours * gather_points(theirs, to_truth)).sum(-1).abs().mean(1)
    back = (theirs * gather_points(ours, to_pred)).sum(-1).abs().mean(1)
    return (forth + back) / 2


def _unit(normals: Tensor) -> Tensor:
    finite = normals.isfinite().all(-1, keepdim=True)
    return torch.nn.functional.normalize(torch.where(finite, normals, 0.0), dim=-1)


def fitting(normals: Tensor, points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
    """Normals of an empty prediction, which scores replace by points at the origin: none that agrees with anything."""
    return normals if normals.shape == points.shape else torch.zeros_like(points)


def is_failure(pred: Float[Tensor, "b n 3"]) -> Bool[Tensor, " b"]:
    """Predictions that cannot be scored: empty, or with a coordinate that is not finite."""
    if pred.shape[1] == 0:
        return torch.ones(pred.shape[0], dtype=torch.bool, device=pred.device)
    return ~pred.isfinite().flatten(1).all(1)


def more_is_better(name: str) -> bool:
    """True for shares and cosines, False for distances and angles; `name` may carry a prefix such as `occnet/`."""
    shares = ("fscore", "precision", "recall", "normal_consistency", "modes_covered", "all_modes", "answers_on_modes",
              "delta", "iou", "mask_iou", "boundary_f1")  # fmt: skip
    score = name.rsplit("/", 1)[-1]
    return score.startswith(shares) or score.endswith("deg")  # of normals: the share under so many degrees


def worst(name: str) -> float:
    """The stated score of a counted failure: 0 for shares, sqrt(3) for distances (diagonal of the unit cube), its
    square for each direction of a squared one.
    """
    if more_is_better(name):
        return 0.0
    return {"chamfer_l1": math.sqrt(3), "emd": math.sqrt(3), "chamfer_l2sq": 6.0}[name]


def score_points(
    pred: Float[Tensor, "b n 3"],
    truth: Float[Tensor, "b m 3"],
    percents: tuple[int, ...] = (1, 2, 5),
    emd_points: int | None = None,
    extra: Mapping[str, Callable[[Distances], Tensor]] = MappingProxyType({}),
    extra_worst: Mapping[str, float] = MappingProxyType({}),
    normals: tuple[Float[Tensor, "b n 3"], Float[Tensor, "b m 3"]] | None = None,
) -> dict[str, Float[Tensor, " b"]]:
    """All scores in one pass; failures get `worst` and a 1 under the key `failure`.

    Args:
        pred: predicted sets; NaN, infinite and empty ones are counted, never skipped.
        truth: true sets, finite.
        percents: radii of fscore, precision and recall in percent of the longest side: keys `fscore_5pct` ...
        emd_points: size of the sets for `emd`; None leaves it out.
        extra: further scores by name, functions of `Distances` that return (b,).
        extra_worst: what a failure gets for each of them.
        normals: of predicted and true points; None leaves `normal_consistency` out.
    """
    failed = is_failure(pred)
    if pred.shape[1] == 0:
        pred = truth.new_zeros(pred.shape[0], max(1, emd_points or 1), 3)
    pred = torch.where(failed[:, None, None], torch.zeros_like(pred), pred)
    d = distances(pred, truth)
    scores = {"chamfer_l1": chamfer_l1(d), "chamfer_l2sq": chamfer_l2sq(d)}
    for p in percents:
        for function in (fscore, precision, recall):
            scores[f"{function.__name__}_{p}pct"] = function(d, p / 100)
    scores |= {name: function(d) for name, function in extra.items()}
    if normals is not None:
        scores["normal_consistency"] = normal_consistency(pred, fitting(normals[0], pred), truth, normals[1])
    if emd_points is not None:
        scores["emd"] = emd(pred, truth, emd_points)
    failing = {name: extra_worst[name] if name in extra else worst(name) for name in scores}
    scores = {name: torch.where(failed, torch.full_like(s, failing[name]), s) for name, s in scores.items()}
    return scores | {"failure": failed.to(truth.dtype)}
