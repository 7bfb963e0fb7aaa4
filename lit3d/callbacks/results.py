"""Test scores -> per_sample.csv and results.json."""

import csv
import io
import json
import math
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist

from lit3d import __version__
from lit3d.callbacks import show
from lit3d.callbacks.references import beats, gap_closed
from lit3d.callbacks.rows import RETRIEVALS, ReferenceRows
from lit3d.errors import UserError
from lit3d.metrics.point_sets import more_is_better

IDENTITY = ("split", "object", "category", "view")


def write_atomically(path: Path, text: str) -> None:
    """Write aside, flush to disk, rename: what was there before is whole until the new file is."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """A compressed .npz, written aside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(stream.getvalue())
    aside.replace(path)


class ResultsFile(pl.Callback):
    """Writes results.json: the part that every kind of run shares.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.summary: dict[str, Any] = {}

    def add(self, **facts: Any) -> None:
        """Further facts for results.json."""
        self.summary |= facts
        write_atomically(self.folder / "results.json", json.dumps(self.summary, indent=1) + "\n")

    @staticmethod
    def run_facts(trainer: pl.Trainer, module: Any) -> dict[str, Any]:
        """What was trained, how far, and where."""
        return {
            "steps": trainer.global_step, "parameters": sum(p.numel() for p in module.parameters()),
            "model": module.config.get("model", {}).get("name"), "loss": [t.name for t in module.terms],
            "seed": module.config.get("seed"), "system": system_facts(),
        }  # fmt: skip


class Results(ResultsFile):
    """Writes one row per object and view, and the summary with reference rows.

    Args:
        folder: the run folder.
        references: whether rows are scored beside the model, those of its representation and those of
            `ReferenceRows`; docs/references.md explains them.
        clusters: mean shapes of the row clustering, at most; 0 leaves it out.
        encoded: training images that retrieval by features looks through, at most; 0 leaves it out.
    """

    def __init__(self, folder: str | Path, references: bool = True, clusters: int = 200, encoded: int = 4096) -> None:
        if min(clusters, encoded) < 0:
            raise UserError(f"callbacks.results.clusters and encoded must be at least 0, got {clusters} and {encoded}")
        super().__init__(folder)
        self.references, self.clusters, self.encoded = references, clusters, encoded
        self.rows: list[dict[str, Any]] = []
        self.beside: ReferenceRows | None = None
        self.names: dict[str, None] = {}  # of the rows beside the model's

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find what reference rows need before a test, where gradients are still allowed."""
        if stage != "test":
            return
        self.rows, self.names = [], {}
        if self.references and trainer.datamodule.gives_points:  # type: ignore[attr-defined]
            if trainer.is_global_zero:
                self._prepare(trainer, pl_module)
            trainer.strategy.barrier()  # the other processes find what the first one kept
            if not trainer.is_global_zero:
                self._prepare(trainer, pl_module)

    def _prepare(self, trainer: Any, module: Any) -> None:
        self.beside = ReferenceRows(trainer.datamodule, module.metrics.points, self.clusters)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Encode training images, now that the module is on its device and in evaluation mode."""
        if self.beside is not None:
            self.beside.encode(pl_module, self.encoded)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Keep the scores of a batch with the identity of each sample."""
        split = trainer.datamodule.splits()[dataloader_idx]  # type: ignore[attr-defined]
        scores = {"": outputs} | self._references(pl_module, batch, split)
        for i, (name, category, view) in enumerate(
            zip(batch["object"], batch["category"], batch["view"].tolist(), strict=True)
        ):
            row: dict[str, Any] = {"split": split, "object": name, "category": category, "view": view}
            for prefix, values in scores.items():
                row |= {f"{prefix}{key}": float(value[i]) for key, value in values.items()}
            self.rows.append(row)

    def _references(self, module: Any, batch: Any, split: str) -> dict[str, dict[str, torch.Tensor]]:
        rows = module.rows(batch) if self.references else {}
        found = {k: module.metrics(p, batch, final=True) for k, p in rows.items()}
        if self.beside is not None:
            truth, axes = batch["points"], batch.get("object_to_target")
            sets = self.beside.points(batch, split)
            found |= {k: module.metrics.score(p, truth, object_to_target=axes) for k, p in sets.items()}
            for name, iou in self.beside.iou(batch, split).items():
                found[name]["iou"] = iou
        self.names |= dict.fromkeys(found)
        return {f"{k}/": scores for k, scores in found.items()}

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write both files, in the first of several processes: each has scored its share of the views."""
        every = gathered(self.rows)
        if not trainer.is_global_zero:
            return
        rows = list({tuple(row[k] for k in IDENTITY[1:]): row for row in every}.values())  # DDP pads by repeating
        scores = [k for k in rows[0] if k not in IDENTITY]
        table = [{k: _rounded(v) for k, v in row.items()} for row in rows]
        stream = _csv([*IDENTITY, *scores], table)
        write_atomically(self.folder / "per_sample.csv", stream)
        self.summary = self._summary(rows, scores, trainer, pl_module)
        self.add()
        for logger in trainer.loggers:
            show.log_scores(logger, dashboard_scores(self.summary), trainer.global_step)

    def _summary(
        self, rows: list[dict[str, Any]], scores: list[str], trainer: pl.Trainer, module: Any
    ) -> dict[str, Any]:
        summary: dict[str, Any] = {}
        for split in dict.fromkeys(row["split"] for row in rows):
            mine = [row for row in rows if row["split"] == split]
            by_class = {c: [r for r in mine if r["category"] == c] for c in sorted({r["category"] for r in mine})}
            own = [s for s in scores if s.split("/")[0] not in self.names]  # `occnet/chamfer_l1` is one of its own
            means = {c: _means(part, own) for c, part in by_class.items()}
            summary[split] = _means(mine, own)
            summary[f"{split}_by_class"] = means
            summary[f"{split}_mean_over_classes"] = {k: _mean([m[k] for m in means.values()]) for k in own}
            summary[f"{split}_coverage"] = 1 - summary[split]["failure"]
            summary[f"{split}_failures"] = int(sum(r["failure"] for r in mine))
            for row in self.names:
                keys = [s for s in scores if s.startswith(f"{row}/")]
                if keys:
                    strip = {k: k.split("/", 1)[1] for k in keys}
                    summary.setdefault("references", {}).setdefault(split, {})[row] = {
                        "mean": _means(mine, keys, strip),
                        "by_class": {c: _means(part, keys, strip) for c, part in by_class.items()},
                    }
            found = {k: v["mean"] for k, v in summary.get("references", {}).get(split, {}).items()}
            if {"mean_shape", "truth_resampled"} <= set(found):
                gap = gap_closed(summary[split], found["mean_shape"], found["truth_resampled"])
                summary[f"{split}_gap_closed"] = gap
            for row in (r for r in RETRIEVALS if r in found):
                summary[f"{split}_beats_{row}"] = beats(mine, row, own, more_is_better)
        data = trainer.datamodule  # type: ignore[attr-defined]
        return summary | {
            "counts": {"n": module.metrics.points, "m": data.test_points, "images": len(rows),
                       "objects": len({row["object"] for row in rows})},
            "data": data.facts(),
            **self.run_facts(trainer, module),
        }  # fmt: skip


def dashboard_scores(summary: dict[str, Any]) -> dict[str, float]:
    """The means of a summary under its own keys: `test/emd`, `test_gap_closed/emd`; classes stay in the file."""
    parts = {k: v for k, v in summary.items() if k.startswith(("test", "val")) and not k.endswith("_by_class")}
    tables = {k: v for k, v in parts.items() if isinstance(v, dict)}
    return {f"{k}/{score}": v for k, table in tables.items() for score, v in table.items() if isinstance(v, float)}


def gathered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all processes, sorted by split, object and view as a single process meets them."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, rows)
    return sorted((row for part in parts for row in part), key=lambda row: (row["split"], row["object"], row["view"]))


def _means(rows: list[dict[str, Any]], keys: list[str], names: dict[str, str] | None = None) -> dict[str, float]:
    names = names or {}
    return {names.get(k, k): _mean([row[k] for row in rows]) for k in keys}


def _mean(values: list[float]) -> float:
    """Over what is known: nobody can say an IoU with an object whose inside is not known. NaN where nothing is."""
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else math.nan


def _rounded(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _csv(head: list[str], rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def system_facts() -> dict[str, Any]:
    """Versions, machine and git state that a number depends on."""
    versions = {p: metadata.version(p) for p in ("torch", "pytorch-lightning", "torchmetrics", "hydra-core", "numba")}
    return {
        "lit3d": __version__, "python": platform.python_version(), **versions,
        "machine": platform.machine(), "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "git": _git_state(),
    }  # fmt: skip


def _git_state() -> str | None:
    """`git describe` of the checkout that this package runs from; None for an installed wheel."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
