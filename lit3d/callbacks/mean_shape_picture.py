"""A family and the mean shape of a loss, side by side."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

MEMBER, RESULT, INK = "#8a94a3", "#c2410c", "#3c3c3c"
VIEW = np.array([[0.86, 0.0, -0.51], [-0.22, 0.9, -0.37]])  # rows: right and up in the picture of a 3D set


def flat(points: np.ndarray) -> np.ndarray:
    """Points (..., 2) as they are, points (..., 3) as seen obliquely from above, without perspective."""
    return points if points.shape[-1] == 2 else points @ VIEW.T


def frame(*sets: np.ndarray, margin: float = 0.08) -> tuple[float, float, float]:
    """Centre and half side of the square that holds all but one in two hundred of the points."""
    every = np.concatenate([flat(s).reshape(-1, 2) for s in sets])
    low, high = np.quantile(every, 0.0025, axis=0), np.quantile(every, 0.9975, axis=0)
    middle = (low + high) / 2
    return float(middle[0]), float(middle[1]), float((high - low).max()) * (0.5 + margin)


def scatter(axes: Axes, points: np.ndarray, colour: str, square: tuple[float, float, float], size: float = 4) -> None:
    """One set in a bare square."""
    x, y, half = square
    axes.scatter(*flat(points).T, s=size, c=colour, linewidths=0)
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#dddddd")


def draw(members: np.ndarray, points: np.ndarray, summary: dict[str, Any]) -> Image.Image:
    """Some members (k, n, d), then the point set (n, d) with its numbers.

    Args:
        members: in order of their hidden number.
        points: the mean shape.
        summary: results.json.
    """
    figure = Figure(figsize=(2.2 * (len(members) + 1), 2.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(members) + 1)
    square = frame(members, points)
    for axes, member in zip(grid, members, strict=False):
        scatter(axes, member, MEMBER, square)
    scatter(grid[-1], points, RESULT, square)
    loss = ", ".join(f"{k} {v:.4f}" for k, v in summary["test"].items())
    grid[0].set_title(f"members of {summary['family']['name']}", fontsize=9, color=INK, loc="left")
    off = summary["mean_shape"]["off_member"]
    grid[-1].set_title(f"{loss}\noff_member {off:.2f}", fontsize=9, color=INK, loc="left")
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())  # type: ignore[attr-defined]
