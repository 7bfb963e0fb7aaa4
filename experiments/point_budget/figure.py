"""Draw the measurements of `truth`, the formula through them, and networks of n points below.

    python -m experiments.point_budget.figure                          # point_budget.png
    python -m experiments.point_budget.figure multirun/<sweep>         # with the networks of a sweep over model.points

Prints what the formula leaves out class by class, and what share of the truth's score the networks reach.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from experiments.point_budget import ceiling
from experiments.point_budget.truth import COUNTS, HERE, PERCENTS, TRUTH
from experiments.runs import Run, read_runs

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLUE, GREEN, RED, GREY = "#2b6cb0", "#2f855a", "#c53030", "#8a8a8a"
RADIUS, ENOUGH = 0.05, 0.95  # "enough": so much of the surface is nearer than so much to a point


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV, numbers as numbers."""
    with path.open(encoding="utf-8") as stream:
        return [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def curve(rows: Sequence[dict[str, Any]], sampling: str, score: str, category: str = "all") -> np.ndarray:
    """(k, 2): n and the mean score."""
    return np.array([(r["n"], r[score]) for r in rows if (r["sampling"], r["category"]) == (sampling, category)])


def crossing(points: np.ndarray, level: float) -> float:
    """The first n at which a rising curve (k, 2) reaches `level`, interpolated along log n; NaN where it never does."""
    n, values = points.T
    above = np.flatnonzero(values >= level)
    if not len(above) or above[0] == 0:
        return float(n[0]) if len(above) else float("nan")
    i = above[0]
    share = (level - values[i - 1]) / (values[i] - values[i - 1])
    return float(np.exp(np.log(n[i - 1]) + share * np.log(n[i] / n[i - 1])))


def draw_score(axes: Axes, rows: Any, surfaces: Any, score: str, networks: Sequence[Run]) -> None:
    """One score over n: measured, formula, networks."""
    n = np.geomspace(COUNTS[0], COUNTS[-1], 100)
    areas = np.array([s["area"] for s in surfaces])
    if score == "chamfer_l1":
        laws = [np.array([ceiling.chamfer_l1(k, areas, m).mean() for k in n]) for m in (TRUTH, np.inf)]
        axes.set(yscale="log", title="chamfer_l1 (longest side = 1)")
        axes.set_yticks([0.003, 0.005, 0.01, 0.02, 0.04, 0.1], [".003", ".005", ".01", ".02", ".04", ".1"])
        axes.yaxis.set_minor_formatter("")
    else:
        radius = int(score.removeprefix("fscore_").removesuffix("pct")) / 100
        laws = [np.array([ceiling.fscore(k, areas, radius, m).mean() for k in n]) for m in (TRUTH, np.inf)]
        axes.set(ylim=(0, 1.03), title=f"F at {radius:.0%}")
    axes.plot(n, laws[0], color=BLUE, lw=1, label=f"formula, m = {TRUTH:,}")
    axes.plot(n, laws[1], color=GREY, lw=1, ls="--", label="formula, dense truth")
    if score != "chamfer_l1":
        real = areas / np.array([s[score.replace("fscore", "ball_ratio")] for s in surfaces])
        law = [ceiling.fscore(k, real, radius, TRUTH).mean() for k in n]
        axes.plot(n, law, color=BLUE, lw=1.2, ls=":", label=f"m = {TRUTH:,}, ball as measured")
    axes.plot(*curve(rows, "uniform", score).T, "o", color=BLUE, ms=5, label="truth, uniform points")
    axes.plot(*curve(rows, "farthest", score).T, "s-", color=GREEN, ms=4, lw=1, label="truth, farthest points")
    if networks:
        seen = sorted((run.results["counts"]["n"], run.score(score)) for run in networks)
        axes.plot(*np.array(seen).T, "D-", color=RED, ms=5, label="networks")


def draw_collapse(axes: Axes, rows: Any, surfaces: Any) -> None:
    """Recall of every class, radius and n over the one variable of the formula."""
    classes = sorted({s["category"] for s in surfaces})
    for category, colour in zip(classes, plt.get_cmap("tab10").colors, strict=False):  # type: ignore[attr-defined]
        area = np.mean([s["area"] for s in surfaces if s["category"] == category])
        for p in PERCENTS:
            n, values = curve(rows, "uniform", f"recall_{p}pct", category).T
            label = category if p == PERCENTS[0] else None
            axes.plot(np.pi * (p / 100) ** 2 * n / area, values, "o", color=colour, ms=3, label=label)
    x = np.geomspace(3e-3, 30, 200)
    axes.plot(x, ceiling.recall(x / np.pi, 1.0, 1.0), color="black", lw=1, label="1 - exp(-x)")
    axes.plot(x, ceiling.best_recall(x / np.pi, 1.0, 1.0), color=GREY, lw=1, ls=":", label="flat, best placed")
    axes.set(xscale="log", xlim=(3e-2, 30), xlabel="x = π τ² n / A", title="recall, uniform points, all radii")
    axes.legend(fontsize=7, ncols=2, loc="lower right", handletextpad=0.3, columnspacing=0.8)


def draw_needed(axes: Axes, rows: Any, surfaces: Any) -> None:
    """Points that each class needs."""
    score = f"recall_{RADIUS * 100:.0f}pct"
    classes = {s["category"] for s in surfaces}
    areas = {c: np.mean([s["area"] for s in surfaces if s["category"] == c]) for c in classes}
    order = sorted(classes, key=lambda c: areas[c])
    for y, category in enumerate(order):
        found = {k: crossing(curve(rows, k, score, category), ENOUGH) for k in ("farthest", "uniform")}
        law = ceiling.points_needed(ENOUGH, float(areas[category]), RADIUS)
        axes.plot([found["farthest"], found["uniform"]], [y, y], color="#cccccc", lw=2, zorder=1)
        axes.plot(found["farthest"], y, "s", color=GREEN, ms=6)
        axes.plot(found["uniform"], y, "o", color=BLUE, ms=7)
        axes.plot(law, y, "|", color=BLUE, ms=13, mew=2)
    axes.axvline(1024, color=GREY, lw=1, ls=":")
    axes.set_yticks(range(len(order)), order)
    axes.set(xscale="log", xlabel="n", title=f"points for {ENOUGH:.0%} recall at {RADIUS:.0%} (| formula)")
    axes.set_xticks([128, 256, 512, 1024, 2048], ["128", "256", "512", "1,024", "2,048"])
    axes.minorticks_off()


def draw(rows: Any, surfaces: Any, networks: Sequence[Run], path: Path) -> None:
    """The whole figure."""
    figure, grid = plt.subplots(2, 3, figsize=(13, 7.4), layout="constrained")
    scores = [f"fscore_{p}pct" for p in PERCENTS] + ["chamfer_l1"]
    for axes, score in zip(grid.flat, scores, strict=False):
        draw_score(axes, rows, surfaces, score, networks)
        axes.set_xscale("log", base=2)
        axes.set_xticks([64, 256, 1024, 4096, 16384], ["64", "256", "1,024", "4,096", "16,384"])
        axes.set_xlabel("n")
    grid[0, 0].legend(fontsize=8, loc="upper left")
    draw_collapse(grid[1, 1], rows, surfaces)
    draw_needed(grid[1, 2], rows, surfaces)
    for axes in grid.flat:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def class_table(rows: Any, surfaces: Any, n: int = 1024, percent: int = 5) -> list[tuple[str, ...]]:
    """Each class's area, surface in a ball over pi tau^2, and recall at n uniform points: formula, the formula with
    the ball that was measured, measured.
    """
    table = []
    for category in sorted({s["category"] for s in surfaces}):
        mine = [s for s in surfaces if s["category"] == category]
        areas, balls = (np.array([s[k] for s in mine]) for k in ("area", f"ball_ratio_{percent}pct"))
        laws = [float(np.mean(ceiling.recall(n, areas / k, percent / 100))) for k in (1.0, balls)]
        measured = dict(curve(rows, "uniform", f"recall_{percent}pct", category).tolist())[n]
        numbers = (areas.mean(), balls.mean(), *laws, measured)
        table.append((category, *(f"{x:.3f}" if x < 1 else f"{x:.2f}" for x in numbers)))
    return table


def main() -> None:
    """Read tables and runs, draw, print classes, and networks beside the ceiling."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="run folders or sweeps")
    parser.add_argument("--tables", type=Path, default=HERE, help="folder with scores.csv and surfaces.csv")
    parser.add_argument("--out", type=Path, default=HERE / "point_budget.png")
    arguments = parser.parse_args()
    rows, surfaces = (read_table(arguments.tables / name) for name in ("scores.csv", "surfaces.csv"))
    networks = read_runs(arguments.runs)
    draw(rows, surfaces, networks, arguments.out)
    print("class | A | ball / pi tau^2 | recall at 5 %, n = 256: formula | with that ball | measured")
    print("\n".join(" | ".join(line) for line in class_table(rows, surfaces, n=256)))
    for run in sorted(networks, key=lambda run: run.results["counts"]["n"]):
        n, own = run.results["counts"]["n"], run.score("fscore_5pct")
        top = dict(curve(rows, "uniform", "fscore_5pct").tolist()).get(n, float("nan"))
        print(f"n = {n:5d}: F at 5 % {own:.3f} of {top:.3f}, chamfer_l1 {run.score('chamfer_l1'):.4f}")


if __name__ == "__main__":
    main()
