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
    """Mean of one named score between point sets: `SetScore("fscore_5pct")`, or a class of its own below.

    Failures count with the score that `lit3d.metrics.score_points` gives them. In a torchmetrics `MetricCollection`
    pass `compute_groups=False`: it would merge metrics whose first values agree, as those of two radii on a bad batch.

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


class FScore(SetScore):
    """Mean F-score; `percent` of the longest side is the radius."""

    def __init__(self, percent: int = 5, **kwargs: Any) -> None:
        super().__init__(f"fscore_{percent}pct", **kwargs)


class Precision(SetScore):
    """Mean share of predicted points near the truth; `percent` of the longest side is the radius."""

    def __init__(self, percent: int = 5, **kwargs: Any) -> None:
        super().__init__(f"precision_{percent}pct", **kwargs)


class Recall(SetScore):
    """Mean share of true points near the prediction; `percent` of the longest side is the radius."""

    def __init__(self, percent: int = 5, **kwargs: Any) -> None:
        super().__init__(f"recall_{percent}pct", **kwargs)


class ChamferDistance(SetScore):
    """Mean Chamfer distance: `chamfer_l1`, or `chamfer_l2sq` where `squared`."""

    def __init__(self, squared: bool = False, **kwargs: Any) -> None:
        super().__init__("chamfer_l2sq" if squared else "chamfer_l1", **kwargs)


class EarthMoversDistance(SetScore):
    """Mean exact Earth Mover's distance between the first `points` points of both sets."""

    def __init__(self, points: int = 1024, **kwargs: Any) -> None:
        super().__init__("emd", emd_points=points, **kwargs)


class NormalConsistency(SetScore):
    """Mean |cos| between the normals of nearest points."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("normal_consistency", **kwargs)

    def update(  # type: ignore[override]
        self,
        pred: Float[Tensor, "b n 3"],
        pred_normals: Float[Tensor, "b n 3"],
        truth: Float[Tensor, "b m 3"],
        truth_normals: Float[Tensor, "b m 3"],
    ) -> None:
        """Score a batch of predicted points and normals against the true ones."""
        scores = point_sets.score_points(pred, truth, (), normals=(pred_normals, truth_normals))
        SampleMean.update(self, scores[self.name])


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
