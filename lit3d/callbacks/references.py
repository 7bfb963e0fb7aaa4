"""What recognition alone would answer, and how a model compares: retrieval, oracle, share of the gap, intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.callbacks.kept import kept, of_rows
from lit3d.callbacks.pictures import pictures
from lit3d.ops.neighbours import nearest_both

PREFILTER = 128  # points of the first pass of the oracle: the same objects as with all points, 40 of 40
FINALISTS = 16  # objects that are compared again
FULL = 1024  # points of that second pass


class Neighbours:
    """For each test view the training view that looks most like it, for each test object the closest training object.

    Computed once for a dataset and its lists of training and test views, and kept beside it. Neither depends on the
    frame: the oracle compares in the objects' axes, and its answer is turned as the test view is.

    Args:
        data: a data module that is set up.
        split: a test split.
        points: the most that will be asked for.
    """

    def __init__(self, data: Any, split: str, points: int = FULL) -> None:
        self.data = data
        self.train = data.dataset("train", keys=("points",), points=min(max(FULL, points), data.opened.point_count))
        rows = data.dataset(split, keys=("points",)).rows
        names, objects = (list(dict.fromkeys(name for name, _ in part)) for part in (rows, self.train.rows))
        depends = {"train": of_rows(self.train.rows), "test": of_rows(rows)}
        found = kept(data, "neighbours", depends, lambda: {"seen": self._seen(rows), "oracle": self._closest(names)})
        self.seen = {row: int(i) for row, i in zip(rows, found["seen"], strict=True)}
        self.oracle = {name: objects[i] for name, i in zip(names, found["oracle"], strict=True)}

    def points(self, batch: Mapping[str, Any], n: int) -> dict[str, Float[Tensor, "b n 3"]]:
        """Rows `retrieval` and `oracle` for a batch: n true points of the found objects in the target frame."""
        retrieved, closest = [], []
        for i, (name, view) in enumerate(zip(batch["object"], batch["view"].tolist(), strict=True)):
            retrieved.append(self.train.truth(self.seen[name, view])[:n])
            turn = batch["object_to_target"][i].cpu()
            closest.append(self._object(self.oracle[name], n) @ turn[:3, :3].T + turn[:3, 3])
        return {k: torch.stack(v).to(batch["points"]) for k, v in (("retrieval", retrieved), ("oracle", closest))}

    def _object(self, name: str, count: int) -> Tensor:
        return torch.from_numpy(np.asarray(self.data.opened.point_array(name, "points", 0, count), np.float32))

    def _seen(self, rows: Sequence[tuple[str, int]]) -> Int[np.ndarray, " r"]:
        train, test = (pictures(self.data.opened, part).double() for part in (self.train.rows, rows))
        squared = train.square().sum(1) - 2 * test @ train.T  # less |test|^2, which is the same for all; in float64
        return squared.argmin(1).numpy()

    def _closest(self, names: Sequence[str]) -> Int[np.ndarray, " o"]:
        objects = list(dict.fromkeys(name for name, _ in self.train.rows))
        count = min(FULL, self.data.opened.point_count)
        train, test = (torch.stack([self._object(n, count) for n in part]) for part in (objects, names))
        return np.array([closest_shape(truth, train) for truth in test])


def closest_shape(truth: Float[Tensor, "m 3"], shapes: Float[Tensor, "o m 3"]) -> int:
    """Index of the shape with the least Chamfer distance; all are compared by PREFILTER points, the best in full."""

    def chamfer(candidates: Tensor, count: int) -> Tensor:
        one = truth[:count].expand(len(candidates), -1, -1).contiguous()
        (forth, _), (back, _) = nearest_both(candidates[:, :count].contiguous(), one)
        return forth.mean(1) + back.mean(1)

    finalists = chamfer(shapes, PREFILTER).topk(min(FINALISTS, len(shapes)), largest=False).indices
    return int(finalists[chamfer(shapes[finalists], FULL).argmin()])


def gap_closed(own: Mapping[str, float], low: Mapping[str, float], high: Mapping[str, float]) -> dict[str, float]:
    """(own - low) / (high - low) of each score: 0 as good as the mean shape, 1 as the truth resampled."""
    return {k: (own[k] - low[k]) / (high[k] - low[k]) for k in own if k in low and k in high and high[k] != low[k]}


def paired_interval(
    gains: Float[np.ndarray, " s"], objects: Sequence[str], draws: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Mean gain over samples with its 95 % interval, by a bootstrap that draws whole objects (percentiles).

    Views of one object are not independent, so objects are drawn, each with all its views.
    """
    _, group = np.unique(np.asarray(objects), return_inverse=True)
    totals, counts = np.bincount(group, gains), np.bincount(group)
    chosen = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    means = totals[chosen].sum(1) / counts[chosen].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(np.mean(gains)), "low": float(low), "high": float(high)}


def beats(
    rows: Sequence[Mapping[str, Any]], name: str, scores: Sequence[str], shares: Callable[[str], bool]
) -> dict[str, dict[str, float]]:
    """Paired gains over the row `name`, positive where the model is better; `shares(score)` says if more is better.

    Samples without a score, such as the IoU with an object whose inside is not known, are left out.
    """
    signs = {k: 1.0 if shares(k) else -1.0 for k in scores if f"{name}/{k}" in rows[0]}
    found = {}
    for k, sign in signs.items():
        known = [row for row in rows if not math.isnan(row[k] - row[f"{name}/{k}"])]
        if known:
            gains = np.array([sign * (row[k] - row[f"{name}/{k}"]) for row in known])
            found[k] = paired_interval(gains, [row["object"] for row in known])
    return found
