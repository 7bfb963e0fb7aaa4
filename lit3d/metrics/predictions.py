"""Scores a prediction of any representation: reads only `surface(n)`, points and, where there are any, normals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.metrics.hypotheses import best_and_mean, coverage, coverage_scores, diversity
from lit3d.metrics.point_sets import Distances, score_points
from lit3d.metrics.protocols import named, score_protocols
from lit3d.structures import PointSet, Structure


class SetMetrics:
    """Set scores of predictions: n points of the predicted surface against the truth of the batch.

    Args:
        points: n, the same for every representation, because sampling noise puts a ceiling on each score; a smaller
            PointSet is scored by all it has.
        percents: radii of F-score, precision and recall in percent of the longest side.
        emd: whether test scores hold the exact EMD (n against n).
        emd_in_validation: whether validation pays for it, too.
        extra: scores of your own by name, functions of `Distances` (b,).
        extra_worst: what a counted failure gets for each of them.
        protocols: names of `lit3d.metrics.protocols` or `all`, scored in the test only, as `occnet/chamfer_l1` ...
        answers: how many answers the test asks of a network that can give several; docs/several_answers.md.
        mode_points: the most points by which answers and the modes of a posterior are compared.
        dense: how many points a test draws once more of a surface that can give any number, for scores with a suffix,
            `_10k` for 10,000; 0 leaves them out. More points, less sampling noise: only comparable at equal numbers.

    Attributes:
        needs: keys of the batch that scores are made of, beside `points`.
        optional: keys of the batch that a test scores where they are there: in those of datasets that know them.

    Raises:
        UserError: no such protocol; points, answers, mode_points or a percentage is below 1.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ("posterior", "posterior_points")

    def __init__(
        self,
        points: int = 1024,
        percents: Sequence[int] = (1, 2, 5),
        emd: bool = True,
        emd_in_validation: bool = False,
        extra: Mapping[str, Callable[[Distances], Tensor]] | None = None,
        extra_worst: Mapping[str, float] | None = None,
        protocols: str | Sequence[str] = (),
        answers: int = 8,
        mode_points: int = 1024,
        dense: int = 10_000,
    ) -> None:
        if points < 1 or min(percents, default=1) < 1:
            got = f"{points} and {list(percents)}"
            raise UserError(f"metrics.points and metrics.percents must be at least 1, got {got}")
        if dense < 0:
            raise UserError(f"metrics.dense is a number of points, at least 0, got {dense}")
        if min(answers, mode_points) < 1:
            raise UserError(f"metrics.answers and mode_points must be at least 1, got {answers} and {mode_points}")
        self.points, self.percents = points, tuple(percents)
        self.emd, self.emd_in_validation = emd, emd_in_validation
        self.extra, self.extra_worst = dict(extra or {}), dict(extra_worst or {})
        self.protocols, self.answers, self.mode_points = named(protocols), answers, mode_points
        self.dense = dense
        if unstated := set(self.extra) - set(self.extra_worst):
            raise UserError(f"metrics.extra_worst must say what a failure gets for {', '.join(sorted(unstated))}")

    def __call__(self, prediction: Structure, batch: Mapping[str, Any], final: bool) -> dict[str, Float[Tensor, " b"]]:
        """Scores (b,) by name; `final` in the test, not in validation."""
        n = self.points if prediction.capacity is None else min(self.points, prediction.capacity)
        points, ours = prediction.surface(n)
        theirs = batch.get("point_normals") if ours is not None else None
        normals = None if ours is None or theirs is None else (ours, theirs)
        scores = self.score(points, batch["points"], final, batch.get("object_to_target"), normals)
        return scores | self.several(prediction, points, batch) | self.densely(prediction, batch) if final else scores

    def densely(self, prediction: Structure, batch: Mapping[str, Any]) -> dict[str, Float[Tensor, " b"]]:
        """The scores of `dense` points, without EMD, of a surface that gives any number of them."""
        if prediction.capacity is not None or not self.dense:
            return {}
        points, ours = prediction.surface(self.dense)
        theirs = batch.get("point_normals")
        normals = None if ours is None or theirs is None else (ours, theirs)
        with torch.autocast(points.device.type, enabled=False):
            scores = score_points(points, batch["points"], self.percents, None, self.extra, self.extra_worst, normals)
        suffix = f"_{self.dense // 1000}k" if self.dense % 1000 == 0 else f"_{self.dense}"
        return {f"{name}{suffix}": values for name, values in scores.items() if name != "failure"}

    def several(
        self, prediction: Structure, points: Float[Tensor, "b n 3"], batch: Mapping[str, Any]
    ) -> dict[str, Float[Tensor, " b"]]:
        """What several answers are scored by, and any prediction where the batch has all true shapes of an image."""
        answers, scores = getattr(prediction, "hypotheses", None), {}
        with torch.autocast(points.device.type, enabled=False):
            if answers is not None:
                size = max(1, points.shape[1]) if self.emd else None
                sets = [PointSet(a.contiguous()).surface(points.shape[1])[0] for a in answers.unbind(1)]
                each = [score_points(s, batch["points"], self.percents, size) for s in sets]
                scores = best_and_mean({k: torch.stack([one[k] for one in each], dim=1) for k in each[0]})
                scores["diversity"] = diversity(answers)
            if "posterior" in batch:
                shown, posterior = points[:, None] if answers is None else answers, batch["posterior"]
                found = coverage(shown, posterior, batch["posterior_points"].to(points.dtype), self.mode_points)
                scores |= coverage_scores(found, posterior)
        return scores

    def score(
        self,
        points: Tensor,
        truth: Tensor,
        final: bool = True,
        object_to_target: Tensor | None = None,
        normals: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Float[Tensor, " b"]]:
        """Scores (b,) of given points (b, n, 3), for reference rows; `normals` of these and of the truth, if known."""
        emd = self.emd if final else self.emd_in_validation
        size = max(1, min(points.shape[1], self.points)) if emd else None
        with torch.autocast(points.device.type, enabled=False):  # else frames turn in bfloat16
            scores = score_points(points, truth, self.percents, size, self.extra, self.extra_worst, normals)
            if final and self.protocols:
                scores |= score_protocols(points, truth, self.protocols, object_to_target, emd, normals)
        return scores
