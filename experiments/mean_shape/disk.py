"""Draw the points in the disk against the probability that there is one.

    python -m experiments.mean_shape.disk multirun/<sweep over data.family.hidden.probability and loss>

Points off every member count as between bar and disk. For `emd_squared` prints how far the quarter of the points
farthest to the right has gone from the bar to the disk: the fraction p of the way, by McCann's interpolation.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from experiments.mean_shape.sets import LOSSES, Result, ordered, read
from lit3d.data.families import BAR, DISK, EXTRA

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
TRUE = EXTRA  # share of the points in the disk where there is one


def probability(result: Result) -> float:
    """Of the disk."""
    return float(result.run.config["data"]["family"]["hidden"]["probability"])


def in_disk(result: Result) -> float:
    """Points in the disk over those of a member that has it."""
    return float(result.found["at_places"]["1"]) / TRUE


def way_gone(points: np.ndarray) -> float:
    """Where the rightmost quarter of the points is between its place in the bar (0) and the disk (1)."""
    count = round(len(points) * EXTRA)
    start = float(BAR[0]) * (0.5 - EXTRA / 2)
    return float((np.sort(points[:, 0])[-count:].mean() - start) / (float(DISK[0]) - start))


def curve(results: Sequence[Result], loss: str) -> np.ndarray:
    """(k, 3) of a loss, mean over seeds: p, share of the disk's points in it, share of all points between."""
    mine = [r for r in results if r.loss == loss]
    rows = []
    for p in sorted({probability(r) for r in mine}):
        here = [r for r in mine if probability(r) == p]
        rows.append((p, np.mean([in_disk(r) for r in here]), np.mean([r.found["between"] for r in here]) / TRUE))
    return np.array(rows)


def draw(results: Sequence[Result], path: Path) -> None:
    """Both shares over p, a line a loss."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharex=True, sharey=True)
    for loss in ordered((r.loss for r in results), LOSSES):
        p, disk, way = curve(results, loss).T
        left.plot(p, disk, "o-", label=loss, ms=4)
        right.plot(p, way, "o-", label=loss, ms=4)
    left.axhspan(0.8, 1.05, color="#eeeeee", zorder=0)
    left.axhspan(-0.03, 0.2, color="#eeeeee", zorder=0)
    left.set(
        title="points in the disk, as a share of a real disk's", xlabel="probability of the disk", ylim=(-0.03, 1.05)
    )
    right.set(title="points off every member: a ghost on the way", xlabel="probability of the disk")
    left.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("runs", nargs="+", help="run folders or sweeps")
    parser.add_argument("--out", type=Path, default=HERE / "disk.png")
    arguments = parser.parse_args()
    results = [r for r in read(arguments.runs) if r.family == "disk"]
    draw(results, arguments.out)
    for loss in ordered((r.loss for r in results), LOSSES):
        for p, disk, way in curve(results, loss):
            gone = [way_gone(r.points) for r in results if r.loss == loss and probability(r) == p]
            print(
                f"{loss:<12} p {p:.1f}  in the disk {disk:.2f}  between {way:.2f}  gone {np.mean(gone):.2f} of the way"
            )
    print(arguments.out)


if __name__ == "__main__":
    main()
