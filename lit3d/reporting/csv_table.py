"""A report as one tidy CSV: a row a setting, split, category and score."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from lit3d.reporting.contents import Contents
from lit3d.reporting.tables import Block, Cell, Gain, Split

COLUMNS = ("data", "split", "category", "setting", "score", "runs", "mean", "spread", "best", "baseline", "gain", "low",
           "high", "p", "p_holm", "images", "objects")  # fmt: skip


def render(contents: Contents, title: str) -> str:
    """The whole file; `title` has no place in it."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for block in contents.blocks:
        for split in block.splits:
            writer.writerows(_rows(block, split))
    for family in contents.families:
        for label, cells in family.cells.items():
            who = {"data": family.name, "split": "test", "setting": label}
            writer.writerows(who | {"score": metric} | _mean(cell) for metric, cell in cells.items())
    return stream.getvalue()


def _rows(block: Block, split: Split) -> Iterator[dict[str, Any]]:
    for category in ("", *split.classes):
        for label in split.cells:
            cells = split.cells[label] if category == "" else split.classes[category].get(label, {})
            gains = split.gains.get(category, {}).get(label, {})
            for metric in (m for m in split.metrics if m in cells):
                who = {"data": block.title, "split": split.name, "category": category, "setting": label}
                who["score"] = metric
                best = {"best": int(label in split.best.get(metric, ()))} if category == "" else {}
                yield who | _mean(cells[metric]) | best | _gain(block, gains.get(metric))
        if category == "":
            for name, row in split.references.items():
                who = {"data": block.title, "split": split.name, "setting": name}
                yield from (who | {"score": m, "mean": f"{v:.6g}"} for m, v in row.items())


def _mean(cell: Cell) -> dict[str, Any]:
    spread = "" if cell.spread is None else f"{cell.spread:.6g}"
    return {"runs": cell.runs, "mean": f"{cell.mean:.6g}", "spread": spread}


def _gain(block: Block, gain: Gain | None) -> dict[str, Any]:
    if gain is None:
        return {}
    numbers = {"gain": gain.mean, "low": gain.low, "high": gain.high, "p": gain.p, "p_holm": gain.p_holm}
    counts = {"baseline": block.baseline, "images": gain.images, "objects": gain.objects}
    return {k: f"{v:.6g}" for k, v in numbers.items()} | counts
