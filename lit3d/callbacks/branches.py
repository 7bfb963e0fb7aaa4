"""What the branches of a trained head draw: numbers in results.json, a picture in `media/`."""

import logging
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import default_collate

from lit3d import drawing
from lit3d.callbacks.branch_pictures import branch_grid
from lit3d.callbacks.results import Results
from lit3d.metrics import branches as scores
from lit3d.metrics import parameterisation as sheet
from lit3d.networks.heads import FULLY_CONNECTED, UPCONVOLUTION, Layout
from lit3d.ops.neighbours import nearest

log = logging.getLogger(__name__)
NAMES = {FULLY_CONNECTED: "fc", UPCONVOLUTION: "upconv"}
RADII = (0.02, 0.05)
SEEDS = (0, 1, 2)  # of random subsets
PERMUTATIONS = (0, 1, 2, 3, 4)  # seeds of the baseline of purity
BATCH = 20


class Branches(pl.Callback):
    """After the test of a head with a grid: `parameterisation` in results.json and `media/parameterisation.png`.

    It stands after `Results`, whose file it adds to. A failure is logged; it never loses a trained run.

    Args:
        folder: the run folder.
        samples: how many test objects are measured, one view of each.
        size: side of one picture.
    """

    def __init__(self, folder: str | Path, samples: int = 100, size: int = 160) -> None:
        self.folder, self.samples, self.size = Path(folder), samples, size

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure and draw."""
        layout = layout_of(pl_module)
        if layout is None or not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        split = data.splits()[0]
        try:
            numbers = measure(pl_module, data, split, self.samples).summary()
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Results):
                    callback.add(parameterisation={"split": split} | numbers)
            picture = branch_grid(pl_module, preview_with_parts(data, split), layout, self.size)
            drawing.save_image(picture, self.folder / "media" / "parameterisation.png")
            for logger in trainer.loggers:
                if isinstance(logger, pl.loggers.WandbLogger):
                    logger.log_image("parameterisation", [picture], step=trainer.global_step)
        except Exception:
            log.exception("could not measure or draw the branches; all other results are whole")


def layout_of(module: Any) -> Layout | None:
    """The layout of a module's head, or None where no point lies on a grid."""
    layout = getattr(getattr(module.network, "head", None), "layout", None)
    return None if layout is None or bool(layout.uv.isnan().all()) else layout


def preview_with_parts(data: Any, split: str) -> list[Any]:
    """The fixed views of the other pictures, with the parts of their true points."""
    dataset = data.dataset(split, keys=("points", "point_parts"))
    return [dataset[dataset.rows.index((s["object"], s["view"]))] for s in data.preview(split)]


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
    layout: Layout = module.network.head.layout
    dataset = data.dataset(split, keys=("points", "point_parts"))
    first = {name: i for i, (name, _) in reversed(list(enumerate(dataset.rows)))}
    objects = sorted(first)
    count = len(objects) if samples is None else min(samples, len(objects))
    chosen = [first[objects[i]] for i in np.linspace(0, len(objects) - 1, count).astype(int)]
    own = {name: layout.branch == k for k, name in NAMES.items() if bool((layout.branch == k).any())}
    cells = None if bool(layout.uv.isnan().all()) else sheet.grid_cells(layout.uv)
    facts: dict[str, Any] = {f"{name}/points": int(mine.sum()) for name, mine in own.items()}
    facts |= {"thin": scores.THIN, "permutation_seeds": list(PERMUTATIONS)}
    if cells is not None:
        facts |= {"grid": list(cells.shape), "grid/neighbour_ratio_flat": sheet.flat_ratio(cells)}
    found = Measured(facts)
    numbers = _PartNumbers(data)
    training = module.training
    module.eval()
    for start in range(0, len(chosen), BATCH):
        batch = default_collate([dataset[i] for i in chosen[start : start + BATCH]])
        with torch.no_grad():
            points = module(module.transfer_batch_to_device(batch, module.device, 0)).points.cpu()
        finite = points.isfinite().flatten(1).all(1)
        found.failures += int((~finite).sum())
        if bool(finite.any()):
            _add(found, points[finite], _select(batch, finite), own, cells, numbers)
    module.train(training)
    return found


class _PartNumbers:
    """Numbers for names of parts: the same name in two objects of a category is the same part."""

    def __init__(self, data: Any) -> None:
        self.data, self.known = data, dict[tuple[str, str], int]()

    def __call__(self, name: str, category: str) -> Tensor:
        """The number of each part of an object."""
        parts = self.data.opened.description(name)["part_names"]
        return torch.tensor([self.known.setdefault((category, part), len(self.known)) for part in parts])


def _select(batch: Mapping[str, Any], which: Tensor) -> dict[str, Any]:
    keep = which.nonzero()[:, 0].tolist()
    return {k: v[which] if isinstance(v, Tensor) else [v[i] for i in keep] for k, v in batch.items()}


def _add(
    found: Measured, points: Tensor, batch: Mapping[str, Any], own: Mapping[str, Tensor], cells: Tensor | None,
    numbers: _PartNumbers,
) -> None:  # fmt: skip
    truth, parts = batch["points"], batch["point_parts"]
    kinds = torch.from_numpy(
        np.stack([scores.kinds_of_points(t.numpy(), p.numpy()) for t, p in zip(truth, parts, strict=True)])
    )
    columns = _by_kind("truth/share", torch.nn.functional.one_hot(kinds, len(scores.KINDS)).double().mean(1))
    if cells is not None:
        columns["grid/neighbour_ratio"] = sheet.neighbour_ratio(points, cells)
        columns["grid/fold_over_share"] = sheet.fold_over_share(points, cells)
    spare = batch.get("spare_points", truth)
    labels = [numbers(o, c)[p] for o, c, p in zip(batch["object"], batch["category"], parts, strict=True)]
    for name, mine in own.items():
        branch = points[:, mine].contiguous()
        columns |= _by_kind(f"{name}/share", scores.share_by_kind(branch, truth, kinds))
        columns |= _recalls(name, branch, points, spare, truth, kinds)
        drawn = torch.stack(labels).gather(1, nearest(branch, truth)[1])
        found.labels[name] += list(drawn.numpy())
    found.rows += [{k: float(v[i]) for k, v in columns.items()} for i in range(len(points))]
    found.categories += batch["category"]
    found.objects += batch["object"]


def _recalls(
    name: str, branch: Tensor, points: Tensor, spare: Tensor, truth: Tensor, kinds: Tensor
) -> dict[str, Tensor]:
    """Of a branch; of as many points of the whole prediction; of as many other true points: the ceiling."""
    count = branch.shape[1]
    kept = {"": scores.recall_by_kind(branch, truth, kinds, RADII)}
    if count < points.shape[1]:
        kept["_random"] = scores.subset_recall(points, count, truth, kinds, RADII, SEEDS)
    if count <= spare.shape[1]:
        kept["_truth"] = scores.subset_recall(spare, count, truth, kinds, RADII, SEEDS[:1])
    return {
        k: v
        for suffix, values in kept.items()
        for r, value in zip(RADII, values, strict=True)
        for k, v in _by_kind(f"{name}/recall_{round(100 * r)}pct{suffix}", value).items()
    }


def _by_kind(name: str, values: Tensor) -> dict[str, Tensor]:
    return {f"{name}/{kind}": values[:, k] for k, kind in enumerate(scores.KINDS)}
