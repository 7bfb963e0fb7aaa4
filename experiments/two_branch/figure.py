"""The figure of this experiment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lit3d.metrics.branches import KINDS

COLOURS = {"fc": "#f28c1a", "upconv": "#4080d9"}  # those of media/parameterisation.png
Row = dict[str, Any]


def draw(scores: Sequence[Row], branches: Sequence[Row], sheets: Sequence[Row], path: Path) -> None:
    """Scores of the heads; which branch leads on which kind; purity and smoothness."""
    both = list(dict.fromkeys(r["head"] for r in branches if "lead_2pct_low" in r))
    count = 3 + len(both)
    figure, grid = plt.subplots(-(-count // 3), 3, figsize=(13, 3.9 * -(-count // 3)), constrained_layout=True)
    axes = list(grid.flat)
    draw_scores(axes[0], [r for r in scores if r["score"] == "fscore_5pct"])
    draw_purity(axes[1], sheets)
    draw_smoothness(axes[2], [r for r in sheets if "neighbour_ratio" in r])
    for axis, head in zip(axes[3:], both, strict=False):
        draw_leads(axis, head, [r for r in branches if r["head"] == head])
        axis.sharey(axes[3])
    for axis in axes[count:]:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_scores(axes: Axes, rows: Sequence[Row]) -> None:
    """F at 5 % of each head less that of the first, with its interval over objects."""
    places = np.arange(len(rows))
    for place, row in zip(places, rows, strict=True):
        mean, low, high = (row[f"difference_{k}"] for k in ("mean", "low", "high"))
        axes.errorbar(place, mean, [[mean - low], [high - mean]], fmt="o", color="#444444", capsize=4)
    labels = [f"{r['head']}\n{r['mean']:.3f}\n{r['parameters'] / 1e6:.2f} M" for r in rows]
    axes.set_xticks(places, labels)
    axes.axhline(0, color="#bbbbbb", lw=1)
    axes.set_title(f"F at 5 %, less that of {rows[0]['head']}")
    axes.margins(x=0.15)


def draw_leads(axes: Axes, head: str, rows: Sequence[Row]) -> None:
    """Recall at 2 % of the fc branch less that of as many points of the upconv branch, for each kind."""
    mine = {r["kind"]: r for r in rows if r["branch"] == "fc"}
    means, low, high = (np.array([mine[k][f"lead_2pct_{what}"] for k in KINDS]) for what in ("mean", "low", "high"))
    places = np.arange(len(KINDS))
    colours = [
        COLOURS["fc"] if a > 0 else COLOURS["upconv"] if b < 0 else "#bbbbbb" for a, b in zip(low, high, strict=True)
    ]
    axes.bar(places, means, 0.5, color=colours)  # grey: neither
    axes.errorbar(places, means, [means - low, high - means], fmt="none", ecolor="#333333", capsize=3)
    axes.axhline(0, color="#888888", lw=1)
    axes.set_xticks(places, ["body\nthick", "plate\nthin in one", "rod\nthin in two"])
    points = mine[KINDS[0]]["points"]
    axes.set_title(f"{head}: recall at 2 %, {points} points of fc\nless as many of upconv (up: fc draws it better)")


def draw_purity(axes: Axes, rows: Sequence[Row]) -> None:
    """Does a point of the head draw the same part in all objects of a category?"""
    places = np.arange(len(rows))
    axes.bar(places, [r["purity"] for r in rows], 0.6, color=[COLOURS[r["branch"]] for r in rows])
    for place, row in zip(places, rows, strict=True):
        axes.hlines(row["purity_permuted"], place - 0.4, place + 0.4, color="black")
    axes.set_xticks(places, [r["head"].replace("_", "\n") for r in rows], fontsize=8)
    axes.set_ylim(min(r["purity_permuted"] for r in rows) - 0.1, max(r["purity"] for r in rows) + 0.05)
    axes.set_title("part purity of a point across objects: orange fc,\nblue upconv (line: labels permuted)")


def draw_smoothness(axes: Axes, rows: Sequence[Row]) -> None:
    """Smoothness and folds of each grid; 1 and about 0.6 where the grid means nothing."""
    places = np.arange(len(rows))
    axes.bar(places - 0.2, [r["neighbour_ratio"] for r in rows], 0.36, color="#4080d9", label="neighbour ratio")
    axes.bar(places + 0.2, [r["fold_over_share"] for r in rows], 0.36, color="#9b6fc4", label="fold-over share")
    for place, row in zip(places, rows, strict=True):
        axes.hlines(row["neighbour_ratio_flat"], place - 0.38, place - 0.02, color="black")
    axes.set_xticks(places, [r["head"] for r in rows])
    axes.set_title("the grid: 0 is smooth\n(line: a flat sheet)")
    axes.margins(y=0.25)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
