"""How many answers training must draw until the true shapes of an ambiguous image are among them.

    python -m experiments.several_answers.figure multirun/<sweep>

takes run folders or sweeps, prints a table and draws several_answers.png.
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
from lit3d.errors import UserError

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HERE = Path(__file__).parent
# what a row holds: score of a run -> head of its column
COLUMNS = {
    "all_modes_covered": "all modes", "modes_covered": "modes", "answers_on_modes": "on a mode",
    "best_emd": "best EMD", "mean_emd": "mean EMD", "diversity": "diversity",
}  # fmt: skip
SHARES = ("all_modes_covered", "modes_covered", "answers_on_modes")
WANTED, ALLOWED = 0.8, 0.1  # share of images with all modes covered: of several answers at least, of one at most
COLOURS = ("#c53030", "#2b6cb0", "#2f855a", "#b7791f")


@dataclass(frozen=True)
class Row:
    """The runs that differ in nothing but the seed.

    Attributes:
        loss: names of the terms.
        hypotheses: n, answers that training drew for an image.
        scores: of each run, by the keys of `COLUMNS`.
    """

    loss: str
    hypotheses: int
    scores: dict[str, np.ndarray]

    def mean(self, name: str) -> float:
        """Over seeds."""
        return float(self.scores[name].mean())

    def spread(self, name: str) -> float:
        """Standard deviation over seeds, 0 of one."""
        values = self.scores[name]
        return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def scores_of(run: Run) -> dict[str, float]:
    """What a row holds of one run; a run with one answer is its own best and mean, without diversity.

    Raises:
        UserError: it was tested without a posterior.
    """
    names = run.results["test"]
    if "all_modes_covered" not in names:
        raise UserError(f"{run.folder} says nothing of modes: it needs images with a known posterior, data=ambiguous")
    found = {name: run.score(name) for name in SHARES}
    for kind in ("best", "mean"):
        keys = [key for key in names if key.startswith(f"{kind}_of_") and key.endswith("/emd")]
        found[f"{kind}_emd"] = run.score(keys[0] if keys else "emd")
    return found | {"diversity": float(names.get("diversity", 0.0))}


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """Runs by loss and number of hypotheses."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        key = ("+".join(run.config["loss"]), int(run.config["model"].get("hypotheses", 1)))
        groups.setdefault(key, []).append(run)
    rows = []
    for (loss, n), same in sorted(groups.items()):
        scores = [scores_of(run) for run in same]
        rows.append(Row(loss, n, {name: np.array([s[name] for s in scores]) for name in COLUMNS}))
    return rows


def print_table(rows: Sequence[Row], console: Console) -> None:
    """A row for each loss and n: mean over seeds ± standard deviation."""
    table = Table(title="test images, mean over seeds ± standard deviation", title_justify="left")
    for head in ("loss", "n", "seeds", *COLUMNS.values()):
        table.add_column(head, justify="left" if head == "loss" else "right")
    for row in rows:
        seeds = len(row.scores["diversity"])
        table.add_row(row.loss, str(row.hypotheses), str(seeds), *(_cell(row, c) for c in COLUMNS))
    console.print(table)


def _cell(row: Row, name: str) -> str:
    mean, spread = row.mean(name), row.spread(name)
    return f"{mean:.0%} ± {spread:.0%}" if name in SHARES else f"{mean:.4f} ± {spread:.4f}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Share of images with all modes covered, distances of the best and of all answers, diversity, each over n."""
    figure, grid = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for loss, colour in zip(dict.fromkeys(row.loss for row in rows), COLOURS, strict=False):
        mine = [row for row in rows if row.loss == loss]
        _line(grid[0], mine, "all_modes_covered", colour, loss)
        _line(grid[1], mine, "best_emd", colour, f"{loss}, best answer")
        _line(grid[1], mine, "mean_emd", colour, f"{loss}, mean of answers", "--")
        _line(grid[2], mine, "diversity", colour, loss)
    for height, text in ((WANTED, "expected of n > 1: above"), (ALLOWED, "expected of n = 1: below")):
        grid[0].axhline(height, color="grey", lw=0.8, ls=":")
        place = grid[0].get_yaxis_transform()
        grid[0].text(0.99, height + 0.01, text, transform=place, ha="right", fontsize=8, color="grey")
    grid[0].set(ylim=(-0.03, 1.03), title="share of images with all modes covered")
    grid[1].set(title="EMD to the truth", ylim=(0, None))
    grid[2].set(title="diversity: EMD between two answers", ylim=(0, None))
    for axes in grid:
        _label(axes, sorted({row.hypotheses for row in rows}))
    figure.savefig(path, dpi=110)


def _line(axes: Axes, rows: Sequence[Row], name: str, colour: str, label: str, style: str = "-") -> None:
    """Mean over seeds, and each seed as a dot."""
    x = [row.hypotheses for row in rows]
    axes.plot(x, [row.mean(name) for row in rows], style, color=colour, lw=1.5, label=label)
    for row in rows:
        axes.plot([row.hypotheses] * len(row.scores[name]), row.scores[name], "o", color=colour, ms=4, alpha=0.6)


def _label(axes: Axes, counts: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    axes.set_xlabel("n: answers drawn in training")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)


def main() -> None:
    """Read runs, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders or sweeps")
    parser.add_argument("--out", type=Path, default=HERE / "several_answers.png")
    arguments = parser.parse_args()
    rows = rows_of(read_runs(arguments.runs))
    print_table(rows, Console(width=110))
    draw(rows, arguments.out)


if __name__ == "__main__":
    main()
