"""What a run says when it ends: scores beside their reference rows, where everything lies, what to try next."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lit3d.callbacks.rows import RETRIEVALS
from lit3d.summary_mean_shape import print_mean_shape

HEADS = {
    "fscore_1pct": "F 1 %", "fscore_2pct": "F 2 %", "fscore_5pct": "F 5 %", "precision_5pct": "P 5 %",
    "recall_5pct": "R 5 %", "chamfer_l1": "CD-L1", "chamfer_l2sq": "CD-L2²", "emd": "EMD",
    "normal_consistency": "NC",
}  # fmt: skip
FURTHER: dict[str, dict[str, str]] = {  # title -> heads of a table that only some representations have
    "intersection over union of the volumes; places that an extraction asked the field at": {
        "iou": "IoU", "extraction_queries": "asked",
    },
    "10,000 points of the predicted surface": {
        "fscore_1pct_10k": "F 1 %", "fscore_2pct_10k": "F 2 %", "fscore_5pct_10k": "F 5 %",
        "precision_5pct_10k": "P 5 %", "recall_5pct_10k": "R 5 %", "chamfer_l1_10k": "CD-L1",
        "normal_consistency_10k": "NC",
    },
    "shares of faces, edges and surface; edge lengths' deviation over their mean; degrees": {
        "flipped": "flipped", "folded": "folded", "self_intersection": "crossing", "edge_spread": "spread",
        "roughness": "rough",
    },
    "visible part only: depth (* aligned by median); acc., compl. against the whole object": {
        "abs_rel": "AbsRel", "abs_rel_median": "AbsRel*", "depth_mae": "MAE", "delta1": "d1",
        "flying_pixels_median": "flying*", "visible_chamfer_l1": "vis. CD", "accuracy_l1": "acc.",
        "completeness_l1": "compl.",
    },
    "visible part only: normals of the depth, normals of a head, in degrees; outlines": {
        "depth_normal_angle": "angle", "depth_normal_angle_with_edges": "+edges", "depth_normal_30deg": "< 30",
        "normal_angle": "head", "normal_angle_with_edges": "+edges", "normal_30deg": "< 30", "mask_iou": "IoU",
        "boundary_f1": "edge F1",
    },
}  # fmt: skip
WIDTH = 100  # columns that every line fits in
LABEL = 32  # columns of the first cell: what eight scores leave of WIDTH; a ninth takes NARROWER of them
NARROWER = 8
NAMES = {"mean_shape": "mean shape", "clustering": "clustering", "retrieval": "retrieval by pixels",
         "retrieval_by_features": "retrieval by features", "oracle": "oracle retrieval",
         "truth_resampled": "truth resampled"}  # fmt: skip
SPLITS = ("val", "test", "test_authors")
OF_SEVERAL = re.compile(r"(best|mean)_of_(\d+)")  # prefixes of scores
NUMBERS = ("results.json", "per_sample.csv", "metrics.csv", "predictions.csv")


def print_summary(summary: dict[str, Any], folder: Path, best: str | None) -> None:
    """Tables of all test splits and a few lines of paths and commands, on standard output."""
    console = Console()
    if "mean_shape" in summary:
        print_mean_shape(summary, _short(folder), console)
        return
    print_tables(summary, Console(width=max(console.width, WIDTH)))  # a log file has no width of its own
    print("\n".join(_closing_lines(summary, folder, best)))


def print_tables(summary: dict[str, Any], console: Console) -> None:
    """One table a test split, with a line above and below it; no cell is wrapped at `WIDTH` columns."""
    for split in SPLITS:
        if split in summary:
            n, m = summary["counts"]["n"], summary["counts"]["m"]
            points = f"{n:,} points against {m:,}, " if m else ""
            title = f"{split}: {points}mean over images, unit = {summary.get('data', {}).get('unit', 'longest side')}"
            console.print(f"\n{title}", style="bold", highlight=False)
            if any(c in summary[split] for c in HEADS):  # depth of a scene has no scores of points
                console.print(_split_table(summary, split, HEADS))
            for title, heads in FURTHER.items():
                if any(c in summary[split] for c in heads):
                    console.print(f"{split}: {title}", style="bold", highlight=False)
                    console.print(_split_table(summary, split, heads))
            console.print("\n".join(_below(summary, split)), style="italic", highlight=False)


def _split_table(summary: dict[str, Any], split: str, heads: Mapping[str, str]) -> Table:
    columns = [c for c in heads if c in summary[split]]
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(heads[column], justify="right", no_wrap=True)
    label = ", ".join(part for part in (summary["model"], "+".join(summary["loss"])) if part)
    room = LABEL - NARROWER * (len(columns) > 8)
    table.add_row(_fitting(label, room), *(_number(c, summary[split][c]) for c in columns), style="bold")
    for prefix in dict.fromkeys(key.split("/")[0] for key in summary[split] if OF_SEVERAL.match(key)):
        scores = (_number(c, summary[split].get(f"{prefix}/{c}")) for c in columns)
        table.add_row(OF_SEVERAL.sub(r"\1 of \2 answers", prefix), *scores, style="bold")
    for name, row in summary.get("references", {}).get(split, {}).items():
        if any(c in row["mean"] for c in columns):
            table.add_row(_row_name(name), *(_number(c, row["mean"].get(c)) for c in columns), style="dim")
    gap = summary.get(f"{split}_gap_closed", {})
    if any(c in gap for c in columns):
        table.add_row("gap closed", *(_share(gap.get(c)) for c in columns), style="bold")
    for category, row in summary[f"{split}_by_class"].items():
        table.add_row(_fitting(f"  {category}", room), *(_number(c, row[c]) for c in columns))
    return table


def _row_name(name: str) -> str:
    return NAMES.get(name, name.replace("_", " "))


def _fitting(label: str, room: int) -> str:
    """A name of anyone's length in the width of the first column: its middle goes."""
    half = room // 2
    return label if len(label) <= room else f"{label[: half - 1]}…{label[-half:]}"


def _below(summary: dict[str, Any], split: str) -> list[str]:
    lines = [f"failures {summary[f'{split}_failures']}, coverage {summary[f'{split}_coverage']:.1%}"]
    lines += _several(summary[split])
    given = summary["counts"].get("given", {})
    if given.get("fewer"):
        lines.append(_fewer(given, summary["counts"]["n"]))
    gains = {name: summary.get(f"{split}_beats_{name}", {}).get("fscore_5pct") for name in RETRIEVALS}
    if found := {name: gain for name, gain in gains.items() if gain}:
        stronger = min(found, key=lambda name: found[name]["mean"])
        lines.append(_verdict(stronger, found[stronger]))
    return lines


def _several(scores: dict[str, float]) -> list[str]:
    """How different several answers are, and which of all true shapes are among them."""
    lines = []
    if "diversity" in scores:
        lines.append(f"diversity {scores['diversity']:.4f}: the mean EMD between two answers to one image")
    if "modes_covered" in scores:
        lines.append(
            f"modes covered {scores['modes_covered']:.1%}, all of an image's {scores['all_modes_covered']:.1%}; "
            f"answers on a mode {scores['answers_on_modes']:.1%}"
        )
    return lines


def _fewer(given: dict[str, int], n: int) -> str:
    count = f"{given['least']}" if given["least"] == given["most"] else f"{given['least']} to {given['most']}"
    return (
        f"{given['fewer']} of {given['sets']} predictions have fewer than {n} points ({count}): each is scored by\n"
        f"what it has; metrics.points={given['least']} counts all rows alike"
    )


def _verdict(name: str, gain: dict[str, float]) -> str:
    """Against the stronger retrieval: beating the weaker one says little."""
    answer = "yes" if gain["low"] > 0 else "no" if gain["high"] < 0 else "cannot be told"
    interval = f"{gain['low']:+.3f} to {gain['high']:+.3f}"
    return f"beats {NAMES[name]}? {answer}: F 5 % {gain['mean']:+.3f} (95 % interval {interval})"


def _short(path: str | Path) -> str:
    """Relative to where the command was started, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def _closing_lines(summary: dict[str, Any], folder: Path, best: str | None) -> list[str]:
    seconds = summary["seconds"]
    steps = [f"{summary['steps']} steps"] if summary["steps"] else []
    files = [name for name in NUMBERS if (folder / name).is_file()]
    lines = [
        "",
        "; ".join([*steps, ", ".join(f"{what} {value:.0f} s" for what, value in seconds.items())]),
        f"Pictures   {_short(folder / 'media')}",
        f"Numbers    {_short(folder)}/{', '.join(files)}",
    ]
    lines += [f"Note       {note}" for note in summary.get("notes", ())]
    split = next(s for s in SPLITS if s in summary)
    if protocols := dict.fromkeys(key.split("/")[0] for key in summary[split] if _of_protocol(key)):
        lines.append(f"Protocols  {', '.join(protocols)}: in results.json under their names")
    if best:
        lines += [
            f"Weights    {_short(best)}",
            f"Try next   python -m lit3d.predict checkpoint={_short(best)} image=photo.jpg",
        ]
    if "training" in seconds:
        chosen = "loss=cd,emd seed=0,1" if {"cd", "emd"} & {*summary["loss"]} else "seed=0,1,2"
        lines.append(f"           the same command with -m {chosen}: a sweep")
    return lines


def _of_protocol(key: str) -> bool:
    return "/" in key and not OF_SEVERAL.match(key)


def _share(value: float | None) -> str:
    """Percent; a model far below the mean shape is not worth wider columns."""
    if value is None:
        return "-"
    return "<-999%" if value < -9.99 else f"{value:.0%}"


def _number(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if math.isnan(value):  # of what nobody knows, such as the inside of an open mesh
        return "-"
    digits = {"chamfer_l2sq": 5, "chamfer_l1": 4, "chamfer_l1_10k": 4, "emd": 4, "roughness": 1,
              "extraction_queries": 0}.get(column, 3)  # fmt: skip
    return f"{value:.{digits}f}"
