"""Numbers of the branches of a trained head over test objects."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from lit3d.metrics import branches as scores
from lit3d.metrics import parameterisation as sheet
from lit3d.networks.heads import FULLY_CONNECTED, UPCONVOLUTION, Layout
from lit3d.ops.neighbours import nearest

NAMES = {FULLY_CONNECTED: "fc", UPCONVOLUTION: "upconv"}
RADII = (0.02, 0.05)
SEEDS = (0, 1, 2)  # of random subsets
PERMUTATIONS = (0, 1, 2, 3, 4)  # seeds of the baseline of purity
BATCH = 20


@dataclass
class Measured:
    """Numbers of some test objects; keys are `<branch>/<number>/<kind>`, see docs/parameterisation.md.

    Attributes:
        facts: grid, points of each branch, what a flat sheet has.
        rows: the numbers of each object; NaN where it has no points of a kind.
        labels: for each branch the part that each of its points draws, an array for each object.
        categories: of each object.
        objects: ids.
        failures: predictions that are not finite, left out of everything else.
    """

    facts: dict[str, Any]
    rows: list[dict[str, float]] = field(default_factory=list)
    labels: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    categories: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    failures: int = 0

    def summary(self) -> dict[str, Any]:
        """Means over the objects that have a number, and the purity of each branch; None where there is none."""
        found = self.facts | {"samples": len(self.rows), "failures": self.failures}
        if not self.rows:
            return found
        for key in self.rows[0]:
            values = [row[key] for row in self.rows if not math.isnan(row[key])]
            found[key] = float(np.mean(values)) if values else None
        for name, labels in self.labels.items():
            chance = sheet.permuted_purity(np.stack(labels), self.categories, PERMUTATIONS)
            found[f"{name}/purity"] = sheet.cell_purity(np.stack(labels), self.categories)
            found[f"{name}/purity_permuted"] = chance
        return found


def measure(module: Any, data: Any, split: str = "test", samples: int | None = None) -> Measured:
    """Numbers of the branches of a trained module, or of all points of a head that has but one.

    Args:
        module: in any mode; its head has a `layout`.
        data: a data module that is set up.
        split: a split.
        samples: objects, spread evenly, one view of each; None takes all.
    """
    dataset = data.dataset(split, keys=("points", "point_parts"))
    first = {name: i for i, (name, _) in reversed(list(enumerate(dataset.rows)))}
    objects = sorted(first)
    count = len(objects) if samples is None else min(samples, len(objects))
    chosen = [first[objects[i]] for i in np.linspace(0, len(objects) - 1, count).astype(int)]
    meter = _Meter(module.network.head.layout, data)
    training = module.training
    module.eval()
    for start in range(0, len(chosen), BATCH):
        batch = default_collate([dataset[i] for i in chosen[start : start + BATCH]])
        with torch.no_grad():
            points = module(module.transfer_batch_to_device(batch, module.device, 0)).points.cpu()
        meter.add(points, batch)
    module.train(training)
    return meter.found


class _Meter:
    """Measures predictions of one layout, batch after batch."""

    def __init__(self, layout: Layout, data: Any) -> None:
        self.data, self.known = data, dict[tuple[str, str], int]()
        self.own = {name: layout.branch == k for k, name in NAMES.items() if bool((layout.branch == k).any())}
        facts: dict[str, Any] = {f"{name}/points": int(mine.sum()) for name, mine in self.own.items()}
        facts |= {"thin": scores.THIN, "permutation_seeds": list(PERMUTATIONS)}
        self.cells = None if bool(layout.uv.isnan().all()) else sheet.grid_cells(layout.uv)
        if self.cells is not None:
            facts |= {"grid": list(self.cells.shape), "grid/neighbour_ratio_flat": sheet.flat_ratio(self.cells)}
        self.found = Measured(facts)

    def add(self, points: Tensor, batch: Mapping[str, Any]) -> None:
        """Predictions (b, n, 3) for a batch; those that are not finite are counted and left out."""
        finite = points.isfinite().flatten(1).all(1)
        self.found.failures += int((~finite).sum())
        if not bool(finite.any()):
            return
        points, batch = points[finite], _select(batch, finite)
        truth, parts = batch["points"], batch["point_parts"]
        pairs = zip(truth.numpy(), parts.numpy(), strict=True)
        kinds = torch.from_numpy(np.stack([scores.kinds_of_points(t, p) for t, p in pairs]))
        columns = _by_kind("truth/share", torch.nn.functional.one_hot(kinds, len(scores.KINDS)).double().mean(1))
        if self.cells is not None:
            columns["grid/neighbour_ratio"] = sheet.neighbour_ratio(points, self.cells)
            columns["grid/fold_over_share"] = sheet.fold_over_share(points, self.cells)
        labels = self._labels(batch)
        for name, mine in self.own.items():
            branch = points[:, mine].contiguous()
            columns |= _by_kind(f"{name}/share", scores.share_by_kind(branch, truth, kinds))
            columns |= _recalls(name, branch, points, batch.get("spare_points"), truth, kinds)
            if len(self.own) > 1:
                fewest = min(int(other.sum()) for other in self.own.values())
                columns |= _named(name, "_equal", scores.subset_recall(branch, fewest, truth, kinds, RADII, SEEDS))
            self.found.labels[name] += list(labels.gather(1, nearest(branch, truth)[1]).numpy())
        self.found.rows += [{k: float(v[i]) for k, v in columns.items()} for i in range(len(points))]
        self.found.categories += batch["category"]
        self.found.objects += batch["object"]

    def _labels(self, batch: Mapping[str, Any]) -> Tensor:
        """Parts (b, m) by number: the same name in two objects of a category is the same part."""
        found = []
        for name, category, parts in zip(batch["object"], batch["category"], batch["point_parts"], strict=True):
            names = self.data.opened.description(name)["part_names"]
            number = [self.known.setdefault((category, part), len(self.known)) for part in names]
            found.append(torch.tensor(number)[parts])
        return torch.stack(found)


def _select(batch: Mapping[str, Any], which: Tensor) -> dict[str, Any]:
    keep = which.nonzero()[:, 0].tolist()
    return {k: v[which] if isinstance(v, Tensor) else [v[i] for i in keep] for k, v in batch.items()}


def _recalls(
    name: str, branch: Tensor, points: Tensor, spare: Tensor | None, truth: Tensor, kinds: Tensor
) -> dict[str, Tensor]:
    """Of a branch; of as many points of the whole prediction; of as many other true points: the ceiling."""
    count = branch.shape[1]
    kept = {"": scores.recall_by_kind(branch, truth, kinds, RADII)}
    if count < points.shape[1]:
        kept["_random"] = scores.subset_recall(points, count, truth, kinds, RADII, SEEDS)
    if spare is not None and count <= spare.shape[1]:
        kept["_truth"] = scores.subset_recall(spare, count, truth, kinds, RADII, SEEDS[:1])
    return {k: v for suffix, values in kept.items() for k, v in _named(name, suffix, values).items()}


def _named(name: str, suffix: str, values: Tensor) -> dict[str, Tensor]:
    """Recalls (radii, b, kinds) as columns."""
    keys = [f"{name}/recall_{round(100 * r)}pct{suffix}" for r in RADII]
    return {k: v for key, value in zip(keys, values, strict=True) for k, v in _by_kind(key, value).items()}


def _by_kind(name: str, values: Tensor) -> dict[str, Tensor]:
    return {f"{name}/{kind}": values[:, k] for k, kind in enumerate(scores.KINDS)}
