"""Draw the mean shapes of any losses on any families, as figure 3 of Fan, Su and Guibas (2017) does for two.

    python -m experiments.mean_shape.figure multirun/<sweep>

Families above, one row a loss; with more than three losses, families go down and losses across. Under each set: its
expected loss and off_member, the share of its points that are off the member it fits best.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from experiments.mean_shape.sets import FAMILIES, LOSSES, Result, first_of_each, ordered, read
from lit3d.callbacks.mean_shape_picture import INK, frame, scatter

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HERE = Path(__file__).parent
RESULT = "#c2410c"
TITLES = {
    "circle": "circle\nhidden: its radius", "arc": "spiky arc\nhidden: its place on the diagonal",
    "corners": "bar and square\nhidden: which of four corners", "disk": "bar, and perhaps a disk\nhidden: is it there?",
}  # fmt: skip


def draw_family(axes: Axes, result: Result, square: tuple[float, float, float], size: float) -> None:
    """Members over one another, from light to dark along the hidden number."""
    shades = plt.get_cmap("Blues")(np.linspace(0.35, 0.95, len(result.members)))
    for member, shade in zip(result.members, shades, strict=True):
        scatter(axes, member, [shade], square, size)


def draw_result(axes: Axes, result: Result, square: tuple[float, float, float], size: float) -> None:
    """The set and its numbers."""
    scatter(axes, result.points, RESULT, square, size)
    text = f"{result.loss} {result.expected:.4f}\noff_member {result.found['off_member']:.2f}"
    axes.set_xlabel(text, fontsize=9, color=INK)


def draw(results: Sequence[Result], path: Path) -> None:
    """The figure."""
    found = first_of_each(results)
    families, losses = ordered((f for f, _ in found), FAMILIES), ordered((k for _, k in found), LOSSES)
    across = len(losses) <= 3
    shape = (1 + len(losses), len(families)) if across else (len(families), 1 + len(losses))
    side, size = (2.6, 6.0) if across else (1.75, 3.0)
    figure, grid = plt.subplots(
        *shape, figsize=(side * shape[1], (side + 0.35) * shape[0]), layout="constrained", squeeze=False
    )
    for i, family in enumerate(families):
        line = grid[:, i] if across else grid[i]
        mine = [found[family, loss] for loss in losses if (family, loss) in found]
        square = frame(mine[0].members, *(result.points for result in mine))
        draw_family(line[0], mine[0], square, size)
        title = TITLES.get(family, family)
        line[0].set_title(title, fontsize=10, color=INK) if across else line[0].set_ylabel(title, fontsize=8)
        for axes, loss in zip(line[1:], losses, strict=True):
            if (family, loss) in found:
                draw_result(axes, found[family, loss], square, size)
            else:
                axes.set_axis_off()
    if across:
        for axes, text in zip(grid[:, 0], ["samples", *(f"mean shape of {k}" for k in losses)], strict=True):
            axes.set_ylabel(text, fontsize=10, color=INK)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("runs", nargs="+", help="run folders or sweeps")
    parser.add_argument("--out", type=Path, default=HERE / "mean_shape.png")
    arguments = parser.parse_args()
    draw(read(arguments.runs), arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
