"""Scores of fields and voxels: volumetric intersection over union, and those of every surface."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d.metrics.predictions import SetMetrics
from lit3d.structures import OccupancyField, Solid, Structure

THRESHOLDS = tuple(k / 20 for k in range(1, 20))  # probabilities that a threshold is chosen from


def volumetric_iou(inside: Bool[Tensor, "b q"], truth: Bool[Tensor, "b q"]) -> Float[Tensor, " b"]:
    """Places inside of both over places inside of either (Mescheder et al. 2019, section 4); 1 where neither has any.

    Over uniform queries this estimates the IoU of the volumes.
    """
    both, either = (inside & truth).sum(1), (inside | truth).sum(1)
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)


def iou_of(values: Float[Tensor, "b q"], level: float | Tensor, occupancy: Float[Tensor, "b q"]) -> Float[Tensor, " b"]:
    """IoU of a field's values above a level; NaN where the truth is not known.

    A field with a value that is not finite scores 0: a failure.
    """
    score = volumetric_iou(values > level, occupancy > 0.5)
    score = torch.where(values.isfinite().all(1), score, 0.0)
    return torch.where(occupancy.isnan().any(1), torch.nan, score)


def curve(
    values: Float[Tensor, "b q"], occupancy: Float[Tensor, "b q"], levels: Sequence[float]
) -> dict[float, Float[Tensor, " b"]]:
    """IoU at each of several levels."""
    return {level: iou_of(values, level, occupancy) for level in levels}


class FieldMetrics(SetMetrics):
    """As `SetMetrics` in the test, which adds `iou` over the batch's queries, and `extraction_queries`.

    Validation scores no surfaces, because extracting them takes longer than a step: the module measures IoU there.
    """

    needs: ClassVar[tuple[str, ...]] = ("queries", "occupancy")

    def __call__(self, prediction: Structure, batch: Mapping[str, Any], final: bool) -> dict[str, Float[Tensor, " b"]]:
        """Scores (b,) by name; `final` in the test, not in validation."""
        if not final:
            return {}
        scores = super().__call__(prediction, batch, final)
        if isinstance(prediction, Solid) and "queries" in batch:
            with torch.no_grad():
                values = prediction.at(batch["queries"])
            scores = {"iou": iou_of(values, prediction.level[:, None], batch["occupancy"])} | scores
        if isinstance(prediction, OccupancyField):
            scores["extraction_queries"] = torch.tensor(prediction.asked).to(scores["failure"])
        return scores
