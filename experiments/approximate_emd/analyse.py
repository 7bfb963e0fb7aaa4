"""Networks trained with exact and approximate distances: scores of finished runs, by loss.

    python -m experiments.approximate_emd.analyse multirun/<sweep> multirun/<sinkhorn> multirun/<approxmatch>

takes run folders or sweeps, prints the table, writes networks.csv and draws networks.png. Runs of several seeds are
averaged; the interval is their whole spread.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.approximate_emd.free_points import write_table
from experiments.runs import Run, read_runs
from lit3d.errors import UserError

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
SCORES = ("emd", "chamfer_l1", "fscore_5pct")
Row = dict[str, Any]


def loss_of(run: Run) -> str:
    """The name of what a run minimised, by the code it names: a blur, a count and a foreign function are told apart."""
    parts = []
    for node in run.config["loss"].values():
        name = node["_target_"].rpartition(".")[2].replace("approximate_emd", "approxmatch")
        setting = node.get("blur", node.get("projections"))
        parts.append(name if setting is None else f"{name} {setting:g}")
    return " + ".join(parts)


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """A row for each loss, best exact EMD first: means over seeds, and milliseconds of a training step.

    Raises:
        UserError: runs that differ in more than loss and seed.
    """
    check_alike(runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(loss_of(run), []).append(run)
    rows = []
    for name, same in groups.items():
        row: Row = {"loss": name, "seeds": len(same)}
        for score in SCORES:
            values = [run.score(score) for run in same]
            row |= {score: float(np.mean(values)), f"{score}_spread": float(np.ptp(values))}
        row["ms a step"] = float(
            np.mean([1000 * run.results["seconds"]["training"] / run.results["steps"] for run in same])
        )
        rows.append(row)
    return sorted(rows, key=lambda row: row["emd"])


def check_alike(runs: Sequence[Run]) -> None:
    """Refuse to compare losses over different models, data or steps."""
    for group, key in (("model", "name"), ("model", "points"), ("data", "root"), ("trainer", "max_steps")):
        values = {str(run.config[group].get(key)) for run in runs}
        if len(values) > 1:
            found = ", ".join(sorted(values))
            raise UserError(f"runs differ in {group}.{key} ({found}): compare losses over one of it")


def show(rows: Sequence[Row]) -> None:
    """The table on standard output."""
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=140).print(table)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Each score by loss, with the spread between seeds."""
    size = (13, 0.4 * len(rows) + 1.6)
    figure, panels = plt.subplots(1, len(SCORES), figsize=size, sharey=True, layout="constrained")
    places = np.arange(len(rows))[::-1]
    for axes, score in zip(panels, SCORES, strict=True):
        means, spread = ([row[key] for row in rows] for key in (score, f"{score}_spread"))
        axes.errorbar(means, places, xerr=np.array(spread) / 2, fmt="o", color="#2b6cb0", capsize=3)
        axes.set(title=score)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(places, [row["loss"] for row in rows])
    panels[0].set_ylabel("trained with")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders or sweeps")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    rows = rows_of(read_runs(arguments.runs))
    show(rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_table(arguments.out / "networks.csv", rows)
    draw(rows, arguments.out / "networks.png")


if __name__ == "__main__":
    main()
