"""Scores of settings: mean and spread over seeds, best marked, paired with a baseline; a block a dataset and count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lit3d.errors import UserError, did_you_mean
from lit3d.metrics.point_sets import more_is_better
from lit3d.reporting.folders import Run, as_table
from lit3d.reporting.settings import Setting
from lit3d.reporting.statistics import holm, paired
from lit3d.summary import FURTHER, HEADS, NAMES

UNRANKED = ("failure", "diversity")  # no setting is best at these
AllOf = tuple[str, str, int, int]


@dataclass(frozen=True)
class Cell:
    """Mean over runs, its standard deviation (None for one run), and the number of runs."""

    mean: float
    spread: float | None
    runs: int


@dataclass(frozen=True)
class Gain:
    """A paired comparison of one score: positive is better than the baseline; `p_holm` is corrected over settings."""

    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    images: int
    objects: int


@dataclass
class Split:
    """Scores on one split.

    Attributes:
        name: test, test_authors or val.
        metrics: in the order of the closing table.
        cells: setting -> metric -> cell.
        best: metric -> the settings with the best mean.
        references: row -> metric -> mean; of rows that depend on the run, over the runs.
        classes: category -> setting -> metric -> cell.
        gains: category, or '' for all -> setting -> metric -> gain over the baseline.
        samples: identities of all images that any setting was scored on.
        scores: setting -> metric -> (s,) mean over its runs, NaN where it has none.
        coverage: run -> (failures, images).
        images: setting -> how many images its runs were scored on, as text: a number or a range.
    """

    name: str
    metrics: list[str]
    cells: dict[str, dict[str, Cell]]
    best: dict[str, list[str]]
    references: dict[str, dict[str, float]]
    classes: dict[str, dict[str, dict[str, Cell]]]
    gains: dict[str, dict[str, dict[str, Gain]]] = field(default_factory=dict)
    samples: list[tuple[str, str, int]] = field(default_factory=list)
    scores: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    coverage: dict[str, tuple[int, int]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)


@dataclass
class Block:
    """Settings that were scored on the same data with as many points, and so may stand in one table."""

    title: str
    settings: list[str]
    baseline: str
    splits: list[Split]


def blocks(runs: Sequence[Run], settings: Sequence[Setting], baseline: str | None) -> list[Block]:
    """A block for each dataset and number of points; runs of free point sets have none.

    Raises:
        UserError: the baseline is no setting and no run.
    """
    labels = {i: s.label for s in settings for i in s.runs}
    wanted = None if baseline is None else find_setting(baseline, runs, settings)
    parts: dict[AllOf, list[int]] = {}
    for i, run in enumerate(runs):
        if not run.of_points:
            parts.setdefault(run.scored_on, []).append(i)
    return [_block(key, members, runs, labels, wanted) for key, members in parts.items()]


def find_setting(name: str, runs: Sequence[Run], settings: Sequence[Setting]) -> str:
    """The label that a baseline means: a setting, a run folder, or a part that only one setting has.

    Raises:
        UserError: none or several have it.
    """
    labels = [s.label for s in settings]
    if name in labels:
        return name
    of_runs = [s.label for s in settings for i in s.runs if name.rstrip("/") in (runs[i].name, str(runs[i].folder))
               or runs[i].folder.name == name.rstrip("/").rsplit("/", 1)[-1]]  # fmt: skip
    found = list(dict.fromkeys(of_runs or [label for label in labels if name in label]))
    if len(found) != 1:
        hint = did_you_mean(name, labels) if not found else ""
        raise UserError(f"baseline={name} names {len(found)} settings.{hint} There are: {'; '.join(labels)}")
    return found[0]


def _block(
    key: AllOf, members: Sequence[int], runs: Sequence[Run], labels: Mapping[int, str], wanted: str | None
) -> Block:
    by_setting: dict[str, list[Run]] = {}
    for i in members:
        by_setting.setdefault(labels[i], []).append(runs[i])
    name, version, n, m = key
    title = name + (f": {n:,} points against {m:,}" if m else "")
    title += f" (dataset {version[:8]})" if version != "None" else ""
    base = wanted if wanted in by_setting else next(iter(by_setting))
    names = list(dict.fromkeys(s for part in by_setting.values() for run in part for s in run.splits))
    splits = [_split(split, by_setting) for split in names]
    for split in splits:
        _compare(split, base)
    return Block(title, list(by_setting), base, splits)


def _split(name: str, by_setting: Mapping[str, Sequence[Run]]) -> Split:
    having = {k: [run for run in part if name in run.splits] for k, part in by_setting.items()}
    having = {k: part for k, part in having.items() if part}
    every = [run for part in having.values() for run in part]
    found = dict.fromkeys(metric for run in every for metric in run.results[name])
    known = dict.fromkeys([*HEADS, *(metric for heads in FURTHER.values() for metric in heads)])
    metrics = [m for m in known if m in found] + [m for m in found if m not in known]
    cells = {k: _cells([run.results[name] for run in part]) for k, part in having.items()}
    split = Split(name, metrics, cells, best_of(cells, metrics), _references(every, name), {})
    by_class = {k: [run.results.get(f"{name}_by_class") or {} for run in part] for k, part in having.items()}
    for category in sorted({c for part in by_class.values() for tables in part for c in tables}):
        split.classes[category] = {
            k: _cells([t[category] for t in part if category in t]) for k, part in by_class.items()
        }
    split.samples, split.scores = _by_image(name, having)
    for run in every:
        images = sum(s[0] == name for s in run.samples)
        split.coverage[run.name] = (int(run.results.get(f"{name}_failures") or 0), images)
    for label, part in having.items():
        counts = sorted({split.coverage[run.name][1] for run in part})
        split.images[label] = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    return split


def _cells(tables: Sequence[Mapping[str, float]]) -> dict[str, Cell]:
    names = dict.fromkeys(k for t in tables for k in t)
    values = {k: [float(t[k]) for t in tables if k in t] for k in names}
    return {k: cell(v) for k, v in values.items()}


def cell(values: Sequence[float]) -> Cell:
    """Mean and spread of some runs."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Cell(float(np.mean(values)), spread, len(values))


def best_of(cells: Mapping[str, Mapping[str, Cell]], metrics: Sequence[str]) -> dict[str, list[str]]:
    """The settings with the best mean of each metric; nothing where only one has it or all are alike."""
    found = {}
    for metric in (m for m in metrics if m.rsplit("/", 1)[-1] not in UNRANKED):
        means = {k: table[metric].mean for k, table in cells.items() if metric in table}
        means = {k: v for k, v in means.items() if np.isfinite(v)}
        if len(set(means.values())) > 1:
            top = max(means.values()) if more_is_better(metric) else min(means.values())
            found[metric] = [k for k, v in means.items() if v == top]
    return found


def _references(runs: Sequence[Run], split: str) -> dict[str, dict[str, float]]:
    rows: dict[str, list[Mapping[str, float]]] = {}
    for run in runs:
        for name, row in as_table(as_table(run.results.get("references")).get(split)).items():
            rows.setdefault(name, []).append(row["mean"])
    return {NAMES.get(k, k.replace("_", " ")): {m: c.mean for m, c in _cells(v).items()} for k, v in rows.items()}


def _by_image(
    split: str, having: Mapping[str, Sequence[Run]]
) -> tuple[list[tuple[str, str, int]], dict[str, dict[str, np.ndarray]]]:
    """Images of any run, sorted, and the mean score of each setting's runs on each."""
    keys = sorted({s[1:] for part in having.values() for run in part for s in run.samples if s[0] == split})
    at = {key: i for i, key in enumerate(keys)}
    scores: dict[str, dict[str, np.ndarray]] = {}
    for label, part in having.items():
        sums: dict[str, list[np.ndarray]] = {}
        for run in (r for r in part if r.samples):
            mine = np.array([i for i, s in enumerate(run.samples) if s[0] == split], int)
            places = np.array([at[run.samples[i][1:]] for i in mine], int)
            for metric, values in run.scores.items():
                spread = np.full(len(keys), np.nan)
                spread[places] = values[mine]
                sums.setdefault(metric, []).append(spread)
        scores[label] = {k: v for k, v in ((k, np.mean(v, axis=0)) for k, v in sums.items()) if not np.isnan(v).all()}
    return keys, scores


def _compare(split: Split, baseline: str) -> None:
    """Fill `gains`: of every other setting over the baseline, on all images and on those of each category."""
    ours = split.scores.get(baseline, {})
    if not ours:
        return
    categories = np.array([c for _, c, _ in split.samples])
    objects = np.array([o for o, _, _ in split.samples])
    for category in ("", *dict.fromkeys(categories.tolist())):
        chosen = np.ones(len(objects), bool) if category == "" else categories == category
        found = {
            label: _gains(ours, theirs, chosen, objects) for label, theirs in split.scores.items() if label != baseline
        }
        split.gains[category] = _corrected({k: v for k, v in found.items() if v})


def _gains(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], chosen: np.ndarray, objects: np.ndarray
) -> dict[str, Gain]:
    """Metrics that were scored on the same images are compared in one go."""
    together: dict[bytes, list[str]] = {}
    gains: dict[str, np.ndarray] = {}
    for metric in (m for m in theirs if m in ours and m.rsplit("/", 1)[-1] not in UNRANKED):
        gains[metric] = (theirs[metric] - ours[metric]) * (1 if more_is_better(metric) else -1)
        usable = chosen & np.isfinite(gains[metric])
        if usable.any():
            together.setdefault(usable.tobytes(), []).append(metric)
    found: dict[str, Gain] = {}
    for mask, metrics in together.items():
        usable = np.frombuffer(mask, bool)
        p = paired(np.stack([gains[m][usable] for m in metrics], axis=1), objects[usable].tolist())
        for k, metric in enumerate(metrics):
            mean, low, high, alone = (float(x[k]) for x in (p.mean, p.low, p.high, p.p))
            found[metric] = Gain(mean, low, high, alone, alone, p.images, p.objects)
    return found


def _corrected(table: dict[str, dict[str, Gain]]) -> dict[str, dict[str, Gain]]:
    """P-values of a metric corrected for the number of settings that are compared with the baseline."""
    for metric in dict.fromkeys(m for row in table.values() for m in row):
        labels = [label for label, row in table.items() if metric in row]
        for label, p in zip(labels, holm([table[k][metric].p for k in labels]), strict=True):
            gain = table[label][metric]
            table[label][metric] = replace(gain, p_holm=p)
    return table


def verdict(gain: Gain) -> str:
    """In a word, at 5 % after correction."""
    if gain.p_holm >= 0.05:
        return "cannot be told"
    return "better" if gain.mean > 0 else "worse"


def facts_of(run: Run) -> dict[str, Any]:
    """System facts of a run in one flat table."""
    results = run.results
    system, seconds = (as_table(results.get(k)) for k in ("system", "seconds"))
    took = {f"{k} seconds": round(float(v), 1) for k, v in seconds.items()}
    plain = {"seed": results.get("seed"), "steps": results.get("steps"), "parameters": results.get("parameters")}
    return plain | took | {k: v for k, v in system.items() if not isinstance(v, (dict, list))}

