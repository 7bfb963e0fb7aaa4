"""What free points looked like at the end, how fast they got there, and how far each plan is from a bijection."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from torch import Tensor

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SHOWN = 2  # the table: the shape with thin parts
COLOURS = {
    "emd": "#c53030", "emd_squared": "#dd6b20", "sinkhorn 0.2": "#bee3f8", "sinkhorn 0.1": "#63b3ed",
    "sinkhorn 0.05": "#3182ce", "sinkhorn 0.02": "#2a4365", "sliced 64": "#2f855a", "approxmatch": "#6b46c1",
    "cd": "#4a5568",
}  # fmt: skip
Row = Mapping[str, Any]


def draw(scores: Sequence[Row], curves: Sequence[Row], ends: Mapping[str, Tensor], target: Tensor, path: Path) -> None:
    """The whole figure: the table of each loss above, curves and bars below."""
    columns = len(ends) + 1
    figure = plt.figure(figsize=(1.75 * max(columns, 6), 6.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.7))
    panels = above.subplots(1, columns)
    for axes, (name, points) in zip(panels, {"truth": target, **ends}.items(), strict=True):
        draw_points(axes, points[SHOWN])
        reached = [r["emd"] for r in scores if r["loss"] == name]
        axes.set_title(f"{name}\n{reached[SHOWN]:.4f}" if reached else name, size=9)
    left, right = below.subplots(1, 2)
    draw_curves(left, curves)
    draw_violations(right, scores)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_points(axes: Axes, points: Tensor) -> None:
    """From the front and a little above; the lower the darker."""
    x, y, z = points.T.numpy()
    axes.scatter(x + 0.25 * z, y + 0.15 * z, s=1.2, c=y, cmap="viridis", vmin=-0.6, vmax=0.5, linewidths=0)
    axes.set(aspect="equal", xlim=(-0.7, 0.7), ylim=(-0.5, 0.5), xticks=[], yticks=[])


def draw_curves(axes: Axes, curves: Sequence[Row]) -> None:
    """Exact EMD over steps, mean over shapes."""
    for name in dict.fromkeys(row["loss"] for row in curves):
        mine = [(row["step"], row["emd"]) for row in curves if row["loss"] == name]
        axes.plot(*np.array(mine).T, color=COLOURS.get(name), label=name, lw=1.8)
    axes.set(yscale="log", xlabel="step", title="exact EMD reached, mean over three shapes")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, ncols=2)


def draw_violations(axes: Axes, scores: Sequence[Row]) -> None:
    """Share of true points that get no predicted point, and several."""
    names = list(dict.fromkeys(row["loss"] for row in scores))
    places = np.arange(len(names))
    for shift, key, colour in ((-0.2, "not matched", "#444444"), (0.2, "matched more than once", "#b0b0b0")):
        means = [np.mean([row[key] for row in scores if row["loss"] == name]) for name in names]
        axes.bar(places + shift, means, 0.38, color=colour, label=key)
    axes.set_xticks(places, [name.replace(" ", "\n").replace("_", "\n") for name in names], fontsize=8)
    axes.set_title("true points, each predicted one sent to its largest weight")
    axes.legend(fontsize=8)
