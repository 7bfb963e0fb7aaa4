"""Scores of an experiment's variants, object by object: means, spread over seeds, paired differences, tables."""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lit3d.callbacks.references import paired_interval
from lit3d.callbacks.results import write_atomically

Row = dict[str, Any]
Digits = Callable[[str], int]  # how many a score is shown with


def interval(values: Mapping[str, Sequence[float]]) -> Row:
    """Mean over objects of each object's mean, with its 95 % interval over objects; NaN without objects."""
    means = np.array([np.mean(v) for v in values.values()])
    return paired_interval(means, list(values)) if len(means) else {"mean": math.nan, "low": math.nan, "high": math.nan}


def per_object(folder: Path, score: str) -> dict[str, float]:
    """Mean over the views of each test object of a run; without objects that have no such score, or NaN."""
    found = defaultdict(list)
    with (folder / "per_sample.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["split"] == "test" and not math.isnan(float(row.get(score, "nan"))):
                found[row["object"]].append(float(row[score]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def compared(runs: Mapping[str, Sequence[Path]], score: str) -> dict[str, Row]:
    """For each variant that has a score: how high it is, and how much higher than the first variant's.

    `mean`, `low`, `high`: over objects, each with the mean over its views and the seeds; `spread`: standard deviation
    of the runs' means over seeds, NaN of a single one; `difference_mean`, `_low`, `_high`: object by object.
    """
    tables = {variant: [per_object(folder, score) for folder in folders] for variant, folders in runs.items()}
    values = {variant: _joined(found) for variant, found in tables.items() if any(found)}
    base = values.get(next(iter(runs)), {})
    rows = {}
    for variant, own in values.items():
        seeds = [np.mean(list(table.values())) for table in tables[variant]]
        spread = {"spread": float(np.std(seeds, ddof=1)) if len(seeds) > 1 else math.nan}
        less = {name: [np.mean(v) - np.mean(base[name])] for name, v in own.items() if name in base}
        rows[variant] = interval(own) | spread | {f"difference_{k}": v for k, v in interval(less).items()}
    return rows


def _joined(tables: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    found = defaultdict(list)
    for table in tables:
        for name, value in table.items():
            found[name].append(value)
    return dict(found)


def score_rows(runs: Mapping[str, Sequence[Path]], scores: Iterable[str]) -> list[Row]:
    """A row for each score and variant that has it: `compared` with the columns `variant`, `seeds` and `score`."""
    return [{"variant": variant, "seeds": len(runs[variant]), "score": score} | found
            for score in scores for variant, found in compared(runs, score).items()]  # fmt: skip


def wide(rows: Sequence[Row], heads: Mapping[str, str], digits: Digits) -> list[Row]:
    """A line for each variant of `score_rows`: mean and spread of each score under its head."""
    lines: dict[str, Row] = {}
    for row in rows:
        number, spread = digits(row["score"]), row.get("spread", math.nan)
        text = f"{row['mean']:.{number}f}" + ("" if math.isnan(spread) else f" ±{spread:.{number}f}")
        lines.setdefault(row["variant"], {"": row["variant"]})[heads[row["score"]]] = text
    return list(lines.values())


def differences(rows: Sequence[Row], heads: Mapping[str, str], digits: Digits) -> list[Row]:
    """A line for each variant but the first: the difference of the scores that have a head, with its interval."""
    lines: dict[str, Row] = {}
    for row in (r for r in rows if r["score"] in heads and r["variant"] != rows[0]["variant"]):
        number = digits(row["score"])
        mean, low, high = (f"{row[f'difference_{k}']:+.{number}f}" for k in ("mean", "low", "high"))
        lines.setdefault(row["variant"], {"": row["variant"]})[heads[row["score"]]] = f"{mean} ({low} to {high})"
    return list(lines.values())


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """A CSV with all columns that any row has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([columns, *([_cell(row.get(key, ""), 4) for key in columns] for row in rows)])
    write_atomically(path, stream.getvalue())


def show(title: str, rows: Sequence[Row], columns: Sequence[str] | None = None, width: int = 200) -> None:
    """A table on standard output, of all columns or of some."""
    columns = columns or list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(row.get(key, ""), 3) for key in columns))
    Console(width=width).print(table)


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.{digits}f}"
    return str(value)
