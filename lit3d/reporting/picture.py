"""A report as one figure: scores with the runs behind them, gains with their intervals, curves, free point sets."""

import io
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lit3d.callbacks import mean_shape_picture
from lit3d.reporting.contents import Contents
from lit3d.reporting.free_points import Family
from lit3d.reporting.tables import Block, Split
from lit3d.reporting.words import head, main_metric

COLOURS = ("#1f77b4", "#e4572e", "#2a9d5c", "#8e44ad", "#c98a00", "#17a2b8", "#d63384", "#6c757d", "#7a5c3e", "#264653")
SETS = 5  # free point sets of a family that are drawn, at most
Painter = Callable[[Any], None]  # takes a part of the figure


def render(contents: Contents, title: str) -> bytes:
    """The figure as PNG."""
    rows: list[tuple[float, Painter]] = []
    for block in contents.blocks:
        for split in block.splits:
            height = 1.1 + 0.32 * max(2, len(split.cells))
            rows.append((height, partial(_scores, contents=contents, block=block, split=split)))
    rows += [(2.6, partial(_family, contents=contents, family=family)) for family in contents.families]
    figure = Figure(figsize=(13, 0.5 + sum(h for h, _ in rows)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    parts = np.atleast_1d(np.array(figure.subfigures(len(rows), 1, height_ratios=[h for h, _ in rows]), object))
    for part, (_, paint) in zip(parts, rows, strict=True):
        paint(part)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _colour(contents: Contents, label: str) -> str:
    return COLOURS[[s.label for s in contents.settings].index(label) % len(COLOURS)]


def _short(label: str, most: int = 34) -> str:
    return label if len(label) <= most else f"{label[: most // 2 - 1]}…{label[-most // 2 :]}"


def _scores(part: Any, contents: Contents, block: Block, split: Split) -> None:
    """Scores, gains and curves side by side."""
    metric = main_metric(split)
    if metric is None:
        return
    left, middle, right = axes = part.subplots(1, 3)
    labels = list(split.cells)
    for y, label in enumerate(labels):
        colour, cell = _colour(contents, label), split.cells[label].get(metric)
        runs = [contents.runs[i] for i in contents.members(block) if contents.setting_of(i) == label]
        values = [run.results[split.name][metric] for run in runs if metric in run.results.get(split.name, {})]
        left.plot(values, [y] * len(values), "o", color=colour, alpha=0.45, ms=4)
        if cell is not None:
            left.plot([cell.mean], [y], "|", color=colour, ms=14, mew=2.5)
        gain = split.gains.get("", {}).get(label, {}).get(metric)
        if gain is not None:
            middle.plot([gain.low, gain.high], [y, y], "-", color=colour, lw=2)
            middle.plot([gain.mean], [y], "o", color=colour, ms=5)
    for ax in (left, middle):
        names = [_short(label) for label in labels] if ax is left else []
        ax.set(yticks=range(len(labels)), yticklabels=names, ylim=(len(labels) - 0.5, -0.5))
    for name, row in split.references.items():
        if metric in row:
            left.axvline(row[metric], color="#bbbbbb", lw=0.8, ls=":")
            foot = (row[metric], len(labels) - 0.55)
            left.annotate(name, foot, fontsize=6, color="#888888", rotation=90, ha="right", va="bottom")
    middle.axvline(0, color="#888888", lw=0.8)
    title = f"{block.title}\n{split.name}: {head(metric)}, each run and the mean"
    left.set_title(title, fontsize=8, loc="left")
    middle.set_title(f"gain over {_short(block.baseline)}\nwith its 95 % interval over objects", fontsize=8, loc="left")
    _curves(right, contents, block, metric)
    for ax in axes:
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)


def _curves(ax: Axes, contents: Contents, block: Block, metric: str) -> None:
    name = f"val/{metric}"
    for i in contents.members(block):
        if name in contents.runs[i].curves:
            steps, values = contents.runs[i].curves[name]
            ax.plot(steps, values, "-o", ms=2.5, lw=1, color=_colour(contents, contents.setting_of(i)))
    ax.set_title(f"{head(metric)} in validation, by optimiser step", fontsize=8, loc="left")


def _family(part: Any, contents: Contents, family: Family) -> None:
    """Two members, then a set of each setting."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for i in family.members:
        label = contents.setting_of(i)
        try:
            if label not in found and len(found) < SETS:
                with np.load(contents.runs[i].folder / "points.npz", allow_pickle=False) as kept:
                    found[label] = kept["points"], kept["members"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
    if not found:
        return
    members = next(iter(found.values()))[1][:2]
    square = mean_shape_picture.frame(*members, *(points for points, _ in found.values()))
    axes = part.subplots(1, len(members) + len(found))
    for k, (ax, member) in enumerate(zip(axes, members, strict=False)):
        mean_shape_picture.scatter(ax, member, mean_shape_picture.MEMBER, square, 3)
        ax.set_title(f"{family.name}: a member" if k == 0 else "another", fontsize=8, loc="left")
    for ax, (label, (points, _)) in zip(axes[len(members) :], found.items(), strict=True):
        mean_shape_picture.scatter(ax, points, _colour(contents, label), square, 3)
        ax.set_title(_short(label), fontsize=8, loc="left")
