"""Scores over the amount of training data, and on categories that training left out, beside retrieval and oracle.

    python -m experiments.data_size.figure multirun/<grid> multirun/<left out>

takes run folders or sweeps, prints both tables and draws data_size.png.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.runs import Run, read_runs

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HERE = Path(__file__).parent
SCORE = "fscore_5pct"
ROWS = {None: "model", "retrieval": "retrieval", "oracle": "oracle"}
COLOURS = {None: "#c53030", "retrieval": "#2b6cb0", "oracle": "#2f855a"}


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        objects: training objects of each category.
        views: training views of each.
        scores: by row: None is the model.
        gain: over retrieval, with its 95 % interval (mean, low, high).
    """

    objects: int
    views: int
    scores: dict[str | None, float]
    gain: tuple[float, float, float]


@dataclass(frozen=True)
class LeftOut:
    """A category with and without itself in training.

    Attributes:
        seen, unseen: scores by row on the test objects of the category.
    """

    category: str
    seen: dict[str | None, float]
    unseen: dict[str | None, float]


def left_out(run: Run) -> tuple[str, ...]:
    """Categories that a run did not train with."""
    names = run.config["data"].get("leave_out") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def scores_of(run: Run, category: str | None = None) -> dict[str | None, float]:
    """The score of the model and of the reference rows."""
    return {row: run.score(SCORE, category, row) for row in ROWS}


def grid_of(runs: Sequence[Run]) -> list[Cell]:
    """Runs that saw all categories and say how much of them, ordered by amount; those of several seeds are averaged."""
    cells: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        data = run.config["data"]
        if not left_out(run) and data.get("train_objects") and data.get("train_views"):
            cells.setdefault((data["train_objects"], data["train_views"]), []).append(run)
    return [_cell(*amount, same) for amount, same in sorted(cells.items())]


def _cell(objects: int, views: int, runs: Sequence[Run]) -> Cell:
    scores = [scores_of(run) for run in runs]
    gains = [run.results["test_beats_retrieval"][SCORE] for run in runs]
    mean, low, high = (float(np.mean([g[k] for g in gains])) for k in ("mean", "low", "high"))
    return Cell(objects, views, {k: float(np.mean([s[k] for s in scores])) for k in ROWS}, (mean, low, high))


def pairs_of(runs: Sequence[Run]) -> list[LeftOut]:
    """Each category that a run left out, beside the run that differs in nothing else; the most harmed first."""
    whole = {_amount(run): run for run in runs if not left_out(run)}
    pairs = [
        LeftOut(category, scores_of(whole[_amount(run)], category), scores_of(run, category))
        for run in runs if _amount(run) in whole
        for category in left_out(run)
    ]  # fmt: skip
    return sorted(pairs, key=lambda pair: pair.seen[None] - pair.unseen[None])


def _amount(run: Run) -> tuple[object, ...]:
    data = run.config["data"]
    return (data.get("train_objects"), data.get("train_views"), run.config["seed"], run.config["trainer"]["max_steps"])


def draw_grid(axes: Axes, cells: Sequence[Cell]) -> None:
    """Score over objects: a line style for each number of views."""
    views = sorted({cell.views for cell in cells})
    for v, style in zip(views, ("--", "-", ":", "-."), strict=False):
        mine = [cell for cell in cells if cell.views == v]
        for row, name in ROWS.items():
            if row == "oracle" and v != views[-1]:
                continue  # knows objects, not views
            label = name if row == "oracle" else f"{name}, {v} view{'s' * (v > 1)}"
            marker = {None: "o", "retrieval": "s", "oracle": "^"}[row]
            values = [cell.scores[row] for cell in mine]
            axes.plot([c.objects for c in mine], values, marker + style, color=COLOURS[row], ms=5, lw=1.4, label=label)
    _label_counts(axes, cells)
    axes.set(ylim=(0, 1), ylabel="F at 5 %", title="all categories seen")
    axes.legend(fontsize=8, loc="upper left", ncols=2)


def draw_gain(axes: Axes, cells: Sequence[Cell]) -> None:
    """What the model gains over retrieval, with intervals."""
    views = sorted({cell.views for cell in cells})
    for i, (v, style) in enumerate(zip(views, ("--", "-", ":", "-."), strict=False)):
        mine = [cell for cell in cells if cell.views == v]
        mean, low, high = np.array([cell.gain for cell in mine]).T
        x, away = [c.objects * 1.04**i for c in mine], np.abs([mean - low, high - mean])
        label = f"{v} view{'s' * (v > 1)}"
        axes.errorbar(x, mean, away, fmt="o" + style, color=COLOURS[None], ms=5, lw=1.4, capsize=3, label=label)
    axes.axhline(0, color="black", lw=0.8)
    _label_counts(axes, cells)
    axes.set(ylabel="F at 5 %: model - retrieval", title="gain over retrieval, 95 % interval")
    axes.legend(fontsize=8)


def _label_counts(axes: Axes, cells: Sequence[Cell]) -> None:
    counts = sorted({cell.objects for cell in cells})
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(c) for c in counts])
    axes.minorticks_off()
    axes.set_xlabel("training objects of each category")


def draw_left_out(axes: Axes, pairs: Sequence[LeftOut]) -> None:
    """Filled: the category was in training. Hollow: it was not."""
    for y, pair in enumerate(pairs):
        for row, shift in zip(ROWS, (0.22, 0.0, -0.22), strict=True):
            ends = [pair.seen[row], pair.unseen[row]]
            axes.plot(ends, [y + shift] * 2, color=COLOURS[row], lw=1.4, alpha=0.6)
            axes.plot(ends[0], y + shift, "o", color=COLOURS[row], ms=6, label=ROWS[row] if y == 0 else None)
            axes.plot(ends[1], y + shift, "o", mfc="white", color=COLOURS[row], ms=6)
    axes.set_yticks(range(len(pairs)), [pair.category for pair in pairs])
    axes.set(xlim=(0, 1), xlabel="F at 5 % on that category", title="● in training  ○ left out of training")
    axes.legend(fontsize=8, loc="upper right")


def draw(cells: Sequence[Cell], pairs: Sequence[LeftOut], path: Path) -> None:
    """The whole figure; a part without runs stays empty."""
    figure, grid = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    if cells:
        draw_grid(grid[0], cells)
        draw_gain(grid[1], cells)
    if pairs:
        draw_left_out(grid[2], pairs)
    for axes in grid:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def print_tables(cells: Sequence[Cell], pairs: Sequence[LeftOut]) -> None:
    """Both tables."""
    table = Table(title="F at 5 %, all categories seen", title_justify="left")
    for head in ("objects", "views", *ROWS.values(), "model - retrieval (95 % interval)"):
        table.add_column(head, justify="right")
    for cell in cells:
        mean, low, high = cell.gain
        scores = (f"{cell.scores[row]:.3f}" for row in ROWS)
        table.add_row(str(cell.objects), str(cell.views), *scores, f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
    Console(width=100).print(table)
    table = Table(title="F at 5 %, category seen -> left out", title_justify="left")
    for head in ("category", *ROWS.values()):
        table.add_column(head, justify="right")
    for pair in pairs:
        table.add_row(pair.category, *(f"{pair.seen[row]:.3f} -> {pair.unseen[row]:.3f}" for row in ROWS))
    Console(width=100).print(table)


def main() -> None:
    """Read runs, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders or sweeps")
    parser.add_argument("--out", type=Path, default=HERE / "data_size.png")
    arguments = parser.parse_args()
    runs = read_runs(arguments.runs)
    cells, pairs = grid_of(runs), pairs_of(runs)
    print_tables(cells, pairs)
    draw(cells, pairs, arguments.out)


if __name__ == "__main__":
    main()
