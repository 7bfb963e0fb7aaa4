"""One scene, a chair before a wall, as each depth sensor would see it: depth, error, and holes.

    python -m experiments.sensors.figure

draws sensors.png and prints the table of the README.
"""

from pathlib import Path

import matplotlib
import numpy as np

from lit3d.synthesis.cameras import look_at_origin
from lit3d.synthesis.render import prepare, render
from lit3d.synthesis.sensor import PRESETS, Sensor, measure
from lit3d.synthesis.sources import GrammarSource

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
WALL = 2.7  # metres from the camera; the chair of 1 m stands at 2
LARGEST = 0.03  # metres of error that the colours reach
HOLE = "0.6"  # grey: neither a depth nor an error has it
TITLES = {"exact": "exact", "kinect": "kinect", "realsense": "realsense", "tof": "tof (time of flight)"}


def scene(size: tuple[int, int] = (240, 320)) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Depth (h, w), normals (h, w, 3), intrinsics and the pixels of the chair."""
    source = GrammarSource(8, categories=["chair"])
    shape = source.load(source.items()[1])
    centre = (shape.vertices.max(0) + shape.vertices.min(0)) / 2
    vertices = (shape.vertices - centre) / np.ptp(shape.vertices, axis=0).max()
    camera = look_at_origin(40.0, 10.0, 2.0, focal=size[1] * 1.2, size=size)
    view = render(prepare(vertices, shape), camera)
    depth = np.where(view.mask, view.depth, np.float32(WALL))
    normal = np.where(view.mask[..., None], view.normal, np.array([0, 0, -1], np.float32))
    return depth, normal, camera.intrinsics, view.mask


def table(sensors: dict[str, Sensor]) -> list[tuple[str, float, float, float]]:
    """For each sensor: standard deviation on the wall and median error on the chair (mm), share of the chair lost.

    The deviation leaves out errors above 100 mm: flying pixels.
    """
    depth, normal, intrinsics, chair = scene()
    rows = []
    for name, sensor in sensors.items():
        seen = measure(depth, normal, intrinsics, sensor, np.random.default_rng(0))
        error, found = 1000 * (seen - depth), seen > 0
        wall = found & ~chair & (np.abs(error) < 100)
        near = float(np.median(np.abs(error[found & chair])))
        rows.append((name, float(error[wall].std()), near, float(1 - found[chair].mean())))
    return rows


def draw(path: Path) -> None:
    """Depth above, error below, holes grey in both."""
    depth, normal, intrinsics, _ = scene()
    figure, axes = plt.subplots(2, 1 + len(PRESETS), figsize=(12, 4.6), layout="constrained")
    for column, (name, sensor) in zip(axes.T, {"exact": None, **PRESETS}.items(), strict=True):
        seen = depth
        if sensor is not None:
            seen = measure(depth, normal, intrinsics, sensor, np.random.default_rng(0))
        holes = np.where(seen > 0, seen, np.nan)
        far = column[0].imshow(holes, vmin=1.5, vmax=WALL, cmap="viridis_r")
        column[0].set_title(TITLES.get(name, name))
        off = column[1].imshow(holes - depth, vmin=-LARGEST, vmax=LARGEST, cmap="RdBu")
    figure.colorbar(far, ax=axes[0], label="depth, m", shrink=0.8)
    figure.colorbar(off, ax=axes[1], label="error, m\n(red: too near)", shrink=0.8, extend="both")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], facecolor=HOLE)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def main() -> None:
    """The command."""
    for name, noise, error, lost in table(PRESETS):
        print(f"| {name} | {noise:.1f} | {error:.1f} | {lost:.1%} |")
    draw(HERE / "sensors.png")


if __name__ == "__main__":
    main()
