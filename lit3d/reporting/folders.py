"""Run folders as a report reads them: what cannot be used is named with its reason, never an error."""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lit3d.callbacks.metrics_file import read_times
from lit3d.errors import UserError

MARKS = ("status.json", "results.json", "config.yaml", ".hydra")  # one of these makes a folder a job's
IDENTITY = ("split", "object", "category", "view")
Sample = tuple[str, str, str, int]  # split, object, category, view
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the compiled one is ten times as fast


@dataclass(frozen=True)
class Run:
    """A run that was scored.

    Attributes:
        folder: where it lies.
        name: its path below what all runs have in common.
        config: what ran, resolved.
        overrides: what was given on the command line.
        results: results.json.
        samples: identity of each scored image; empty where there are no scores by image.
        scores: name -> (s,) float64, the model's own scores of these; NaN where there is none.
        curves: name -> (steps, values).
        times: optimiser steps -> seconds.
        notes: what is missing or damaged though the run can be used.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    overrides: tuple[str, ...]
    results: dict[str, Any]
    samples: tuple[Sample, ...] = ()
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def of_points(self) -> bool:
        """Whether it optimised a free point set, without images."""
        return "mean_shape" in self.results

    @property
    def scored_on(self) -> tuple[str, str, int, int]:
        """Name and version of the data, numbers of points n and m: only runs that agree in all may be compared.

        A data module whose version is not known, and scenes without points, have empty ones.
        """
        data, counts, family = (as_table(self.results.get(k)) for k in ("data", "counts", "family"))
        if self.of_points:
            return str(family.get("name")), "free points", int(family.get("dimension") or 2), 0
        return str(data.get("name")), str(data.get("version")), int(counts.get("n") or 0), int(counts.get("m") or 0)

    @property
    def splits(self) -> list[str]:
        """The splits that it was scored on."""
        return [s for s in ("test", "test_authors", "val") if isinstance(self.results.get(s), dict)]


@dataclass(frozen=True)
class LeftOut:
    """A folder that a report cannot use, and why."""

    name: str
    reason: str


def read_runs(paths: Sequence[str | Path]) -> tuple[list[Run], list[LeftOut]]:
    """All runs in some folders and below them, in the order of their paths.

    Raises:
        UserError: a path is no folder, or no folder of a run lies there.
    """
    for path in paths:
        if not Path(path).is_dir():
            raise UserError(f"runs={path}: there is no such folder; expected a run folder or a sweep")
    folders = list(dict.fromkeys(folder.resolve() for path in paths for folder in job_folders(Path(path))))
    if not folders:
        raise UserError(f"runs={','.join(map(str, paths))}: no run lies there; expected a run folder or a sweep")
    root = common_folder(folders)
    runs, left_out = [], []
    for folder in folders:
        name = os.path.relpath(folder, root) if folder != root else folder.name
        try:
            runs.append(_read(folder, name))
        except _Unusable as error:
            left_out.append(LeftOut(name, str(error)))
    return runs, left_out


def job_folders(path: Path) -> Iterator[Path]:
    """Folders of jobs, sorted as people count; inside one nothing is searched."""
    if any((path / mark).exists() for mark in MARKS):
        yield path
        return
    try:
        inner = [p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]
    except OSError:
        return
    for folder in sorted(inner, key=lambda p: natural(p.name)):
        yield from job_folders(folder)


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """A key that sorts 2_x before 10_x."""
    head = name.split("_")[0]
    return ((0, int(head)), (1, name)) if head.isdigit() and len(head) < 10 else ((1, name),)


def common_folder(folders: Iterable[Path]) -> Path:
    """The folder that holds all of them; of a single one, itself."""
    return Path(os.path.commonpath([str(f) for f in folders]))


class _Unusable(Exception):
    """Why a folder cannot be used."""


def _read(folder: Path, name: str) -> Run:
    status = _json(folder / "status.json") if (folder / "status.json").is_file() else {}
    state, reason = str(status.get("status")), status.get("reason")
    if state == "failed":
        raise _Unusable(f"failed: {str(reason)[:300].rstrip(': ')}")
    if not (folder / "results.json").is_file():
        if state == "running":
            raise _Unusable("unfinished: still running, or cut short (resume= goes on with it)")
        raise _Unusable("finished without a test (test=false)" if state == "finished" else "no results.json: no run")
    results = _json(folder / "results.json")
    run = Run(folder, name, _config(folder / "config.yaml"), _overrides(folder), results)
    if not any(isinstance(results.get(s), dict) for s in (*run.splits, "mean_shape")):
        raise _Unusable("results.json holds no scores of a test: not written by lit3d.run or lit3d.evaluate")
    if not all(_is_number(v) for split in run.splits for v in results[split].values()):
        raise _Unusable("results.json holds scores that are no numbers")
    notes = [] if state in ("finished", "None") else ["scored, but not finished: cut short or started again"]
    samples, scores, note = _per_sample(run)
    notes += [note] if note else []
    curves, note = _curves(folder / "metrics.csv")
    notes += [note] if note else []
    return replace(
        run, samples=samples, scores=scores, curves=curves, times=read_times(folder), notes=tuple(notes)
    )


def as_table(value: Any) -> dict[str, Any]:
    """A part of a JSON file that should be a table; nothing where it is something else."""
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _Unusable(f"{path.name} cannot be read ({type(error).__name__}): {str(error)[:120]}") from None
    if not isinstance(found, dict):
        raise _Unusable(f"{path.name} holds a {type(found).__name__}, where a table of names is expected")
    return found


def _config(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _Unusable(f"config.yaml cannot be read: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise _Unusable("config.yaml holds no config")
    return found


def _overrides(folder: Path) -> tuple[str, ...]:
    try:
        found = yaml.load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"), Loader)
        return tuple(str(item) for item in found)
    except (OSError, ValueError, TypeError, yaml.YAMLError):
        return ()


def reference_names(results: Mapping[str, Any]) -> set[str]:
    """The rows beside a model's in results.json and per_sample.csv."""
    parts = results.get("references")
    return {name for rows in parts.values() for name in rows} if isinstance(parts, dict) else set()


def _per_sample(run: Run) -> tuple[tuple[Sample, ...], dict[str, np.ndarray], str]:
    """Identities, own scores, and what is wrong with the file."""
    path = run.folder / "per_sample.csv"
    if not path.is_file():
        return (), {}, "" if run.of_points else "no per_sample.csv: no paired comparison"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            head, *rows = csv.reader(stream)
        beside = reference_names(run.results)
        own = {k: i for i, k in enumerate(head) if k not in IDENTITY and k.split("/")[0] not in beside}
        at = [head.index(name) for name in IDENTITY]
        samples = tuple((r[at[0]], r[at[1]], r[at[2]], int(r[at[3]])) for r in rows)
        scores = {k: np.array([float(r[i]) if r[i] != "" else math.nan for r in rows]) for k, i in own.items()}
    except (OSError, ValueError, IndexError, csv.Error) as error:
        return (), {}, f"per_sample.csv is damaged ({type(error).__name__}: {str(error)[:80]}): no paired comparison"
    if len(set(samples)) < len(samples) or not samples:
        return (), {}, "per_sample.csv is empty or names an image twice: no paired comparison"
    return samples, scores, ""


def _curves(path: Path) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """Curves of training and validation."""
    if not path.is_file():
        return {}, "no metrics.csv: no curves"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            head, *rows = csv.reader(stream)
        wanted = {k: i for i, k in enumerate(head) if k.startswith(("train", "val"))}
        at = head.index("step")
        found = {}
        for name, i in wanted.items():
            pairs = [(int(r[at]), float(r[i])) for r in rows if r[i] != ""]
            if pairs:
                steps, values = zip(*pairs, strict=True)
                found[name] = (np.array(steps), np.array(values, float))
    except (OSError, ValueError, IndexError, csv.Error) as error:
        return {}, f"metrics.csv is damaged ({type(error).__name__}): no curves"
    return found, ""
