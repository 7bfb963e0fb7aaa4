"""Thin torchmetrics classes: they add up per-sample scores and say the mean."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from lit3d.metrics import point_sets


class SampleMean(Metric):
    """Mean over all samples of per-sample scores (b,), right for batches of any size and over processes."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, scores: Float[Tensor, " b"]) -> None:
        """Add the scores of a batch."""
        self.total += scores.double().sum()
        self.count += scores.numel()

    def compute(self) -> Tensor:
        """The mean so far; NaN before the first sample."""
        return (self.total / self.count).float()


class SetScore(SampleMean):
    """Mean of one named score between point sets: `SetScore("fscore_5pct")`, `SetScore("emd")`.

    Args:
        name: a key of `lit3d.metrics.score_points`: chamfer_l1, chamfer_l2sq, emd, fscore_Kpct, precision_Kpct,
            recall_Kpct with a whole percentage K of the longest side.
        emd_points: size of the sets for emd.
    """

    def __init__(self, name: str, emd_points: int = 1024, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.options: dict[str, Any] = {"emd_points": emd_points if name == "emd" else None}
        if name.endswith("pct"):
            self.options["percents"] = (int(name.split("_")[-1].removesuffix("pct")),)

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """True for shares, False for distances."""
        return point_sets.worst(self.name) == 0

    def update(self, pred: Float[Tensor, "b n 3"], truth: Float[Tensor, "b m 3"]) -> None:  # type: ignore[override]
        """Score a batch of predicted sets (b, n, 3) against the truth (b, m, 3)."""
        super().update(point_sets.score_points(pred, truth, **self.options)[self.name])


class ScoreTable(torch.nn.Module):
    """One `SampleMean` a score, created as scores come: the running means of an evaluation.

    Not a MetricCollection, which merges metrics whose first values agree.
    """

    def __init__(self) -> None:
        super().__init__()
        self.means = torch.nn.ModuleDict()

    def update(self, scores: Mapping[str, Float[Tensor, " b"]]) -> None:
        """Add the scores of a batch."""
        for name, values in scores.items():
            if name not in self.means:
                self.means[name] = SampleMean().to(values.device)
            self.means[name].update(values)  # type: ignore[operator]

    def compute(self) -> dict[str, Tensor]:
        """Mean of each score."""
        return {name: mean.compute() for name, mean in self.means.items()}  # type: ignore[operator]

    def reset(self) -> None:
        """Forget all samples."""
        self.means = torch.nn.ModuleDict()
