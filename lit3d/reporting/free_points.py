"""Runs of free point sets: their numbers by setting, and the sets beside members of their family."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lit3d.reporting.folders import Run
from lit3d.reporting.packing import Pool
from lit3d.reporting.settings import Setting
from lit3d.reporting.tables import Cell, cell

SHOWN = 1024  # points of a set, at most


@dataclass
class Family:
    """Settings of one shape family.

    Attributes:
        name: of the family.
        dimension: of its points.
        metrics: names of the numbers.
        cells: setting -> number -> cell.
        errors: setting -> number -> mean standard error of the runs' expected losses.
        members: positions of its runs.
    """

    name: str
    dimension: int
    metrics: list[str]
    cells: dict[str, dict[str, Cell]]
    errors: dict[str, dict[str, float]]
    members: list[int]


def families(runs: Sequence[Run], settings: Sequence[Setting]) -> list[Family]:
    """One for each shape family that free point sets were optimised against."""
    labels = {i: s.label for s in settings for i in s.runs}
    parts: dict[tuple[str, int], list[int]] = {}
    for i, run in enumerate(runs):
        if run.of_points:
            name, _, dimension, _ = run.scored_on
            parts.setdefault((name, dimension), []).append(i)
    return [_family(*key, members, runs, labels) for key, members in parts.items()]


def _family(
    name: str, dimension: int, members: list[int], runs: Sequence[Run], labels: Mapping[int, str]
) -> Family:
    numbers: dict[str, list[dict[str, float]]] = {}
    errors: dict[str, list[dict[str, float]]] = {}
    for i in members:
        numbers.setdefault(labels[i], []).append(measured(runs[i].results))
        errors.setdefault(labels[i], []).append(runs[i].results.get("test_standard_error") or {})
    metrics = list(dict.fromkeys(k for part in numbers.values() for found in part for k in found))
    cells = {k: {m: cell([t[m] for t in part if m in t]) for m in metrics if any(m in t for t in part)}
             for k, part in numbers.items()}  # fmt: skip
    means = {k: {f"expected {m}": float(np.mean([t[m] for t in part if m in t])) for m in dict.fromkeys(
        m for t in part for m in t)} for k, part in errors.items()}  # fmt: skip
    order = [m for m in metrics if m.startswith("expected")] + [m for m in metrics if not m.startswith("expected")]
    return Family(name, dimension, order, cells, means, members)


def measured(results: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of one run under the names of its closing table."""
    found = results["mean_shape"]
    radius = found.get("radius") or {}
    numbers: dict[str, Any] = {f"expected {k}": v for k, v in (results.get("test") or {}).items()}
    numbers |= {"off_member": found.get("off_member"), "between": found.get("between")}
    numbers |= {"radius": radius.get("mean"), "spread": radius.get("spread")}
    numbers |= {f"at place {k}": v for k, v in (found.get("at_places") or {}).items()}
    numbers |= {f"emd to the {k}": v.get("emd") for k, v in (found.get("answers") or {}).items()}
    return {k: float(v) for k, v in numbers.items() if isinstance(v, (int, float))}


def sets_of(family: Family, runs: Sequence[Run], pool: Pool) -> tuple[dict[str, Any], dict[str, str]]:
    """The sets of a family's runs and some of its members, ready for a page, and notes by run."""
    shown: dict[str, Any] = {"members": [], "sets": {}}
    notes = {}
    for i in family.members:
        try:
            with np.load(runs[i].folder / "points.npz", allow_pickle=False) as kept:
                points, members = kept["points"][:SHOWN], kept["members"][:, :SHOWN]
                shown["sets"][str(i)] = pool.points(_flat(points, family.dimension))
                shown["members"] = shown["members"] or [pool.points(_flat(m, family.dimension)) for m in members]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            notes[runs[i].name] = f"points.npz cannot be read ({type(error).__name__}): not drawn"
    return shown, notes


def _flat(points: np.ndarray, dimension: int) -> np.ndarray:
    if points.ndim != 2 or points.shape[1] != dimension:
        raise ValueError(f"points (n, {dimension}) are expected")
    return points.astype(np.float64)
