"""Predictions that were made elsewhere, in the place of a network's."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lit3d.metrics import SetMetrics
from lit3d.modules.base import ReconstructionModule
from lit3d.structures import PointSet


class GivenModule(ReconstructionModule):
    """Scores and draws given point sets as a trained module does its own; it cannot be trained.

    Args:
        read: (object, view) -> points (n, 3) in the target frame, NaN for a failure; n may differ between views.
        metrics: scores predictions against a batch.
    """

    def __init__(self, read: Callable[[str, int], Tensor], metrics: SetMetrics) -> None:
        super().__init__(nn.Identity(), (), metrics, torch.optim.SGD)
        self.read = read

    def _sets(self, batch: Mapping[str, Any]) -> list[Tensor]:
        views = zip(batch["object"], batch["view"].tolist(), strict=True)
        return [self.read(name, view).to(batch["points"]) for name, view in views]

    def forward(self, batch: Mapping[str, Any]) -> PointSet:
        """The sets of a batch for pictures, n at most: smaller ones end in NaN, which is not drawn."""
        sets = [PointSet(points[None]) for points in self._sets(batch)]
        drawn = [points.surface(min(points.capacity, self.metrics.points))[0][0] for points in sets]
        return PointSet(nn.utils.rnn.pad_sequence(drawn, batch_first=True, padding_value=torch.nan))

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Per-sample scores (b,), over sets of equal size together."""
        sets = self._sets(batch)
        scores: dict[str, Tensor] = {}
        for size in sorted({len(points) for points in sets}):
            rows = [i for i, points in enumerate(sets) if len(points) == size]
            read = ("points", "object_to_target", *self.metrics.optional)
            part: dict[str, Any] = {k: batch[k][rows] for k in read if k in batch}
            prediction = PointSet(torch.stack([sets[i] for i in rows]))
            for name, values in self.metrics(prediction, part, final=True).items():
                scores.setdefault(name, values.new_empty(len(sets)))[rows] = values
        return scores
