"""The figures of the network's objectives: their meshes, and F-score against faces that pass through others."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from experiments.mesh_losses.variants import ABLATIONS, DISTANCES
from experiments.sheets import first_views, noted, test_data
from lit3d import drawing, mesh_drawing
from lit3d.build import load_module
from lit3d.callbacks.views import Views, look

KEYS = ("image", "intrinsics", "pose", "object_to_target", "points")
SHOWN = 2  # images
SIZE, ZOOM = 208, 1.3  # side of a cell; how much closer than the image, of which an object covers about half
COLOURS = dict(zip(ABLATIONS, ("#222222", "#2b6cb0", "#17a2b8", "#2f9e60", "#e08e1b", "#d0392b"), strict=True))
MARKS = dict(zip(DISTANCES, ("o", "^"), strict=True))

Cells = tuple[np.ndarray, np.ndarray]  # from the image's view, and turned by 90 degrees


def camera(sample: Any) -> tuple[Any, ...]:
    """Intrinsics, pose, the way up, and sizes of cell and image, closer than the image was taken."""
    lens, pose = (sample[key].double().numpy() for key in ("intrinsics", "pose"))
    size = sample["image"].shape[-2:]
    lens = drawing.in_square(lens, *size)
    lens[:2, :2] *= ZOOM
    return lens, pose, sample["object_to_target"][:3, 1].double().numpy(), SIZE, max(size)


def scores(folder: Path, sample: Any) -> str:
    """What the run's test found for a view, in a line."""
    with (folder / "per_sample.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if (row["split"], row["object"], row["view"]) == ("test", sample["object"], str(int(sample["view"]))):
                return f"F {float(row['fscore_5pct_10k']):.2f}, flipped {float(row['flipped']):.0%}"
    return ""


def predictions(folder: Path, chosen: Sequence[Any]) -> list[Cells]:
    """The meshes that a run's best weights predict, with scores."""
    seen: Views = look(load_module(folder / "checkpoints" / "best.ckpt"), list(chosen))
    drawn = [mesh_drawing.two_views(seen.prediction, i, seen.points[i], *camera(s)) for i, s in enumerate(chosen)]
    return [(noted(front, scores(folder, s)), side) for (front, side), s in zip(drawn, chosen, strict=True)]


def draw_predictions(runs: Mapping[str, Mapping[str, Path]], path: Path) -> None:
    """A sheet with two rows for each image and distance; columns: the image and true points, then the ablations.

    Args:
        runs: a run folder of each variant, by distance.
        path: of the picture.
    """
    folders = [folder for found in runs.values() for folder in found.values()]
    chosen = first_views(test_data(load_module(folders[0] / "checkpoints" / "best.ckpt")), KEYS, SHOWN)
    meshes = {v: predictions(folder, chosen) for found in runs.values() for v, folder in found.items()}
    shown = [name for name in ABLATIONS if any(f"{d}_{name}" in meshes for d in runs)]
    empty = np.full((SIZE, SIZE, 3), 255, np.uint8)
    rows, notes = [], []
    for i, sample in enumerate(chosen):
        image = drawing.upscaled(sample["image"].permute(1, 2, 0).numpy(), SIZE)
        truth = drawing.two_views(sample["points"].double().numpy(), *camera(sample))
        for distance in runs:
            cells = [meshes.get(f"{distance}_{name}", [(empty, empty)] * len(chosen))[i] for name in shown]
            for k, what in enumerate((f"{sample['category']}, {distance}", "from 90°")):
                rows.append([(image, empty)[k], truth[k], *(cell[k] for cell in cells)])
                notes.append(what)
    drawing.save_image(drawing.grid(rows, ["", "truth", *(name.replace("_", " ") for name in shown)], notes), path)


def draw_trade(runs: Mapping[str, Sequence[tuple[float, float]]], path: Path) -> None:
    """All runs: faces that pass through others to the right, F-score upwards; good is the upper left.

    Args:
        runs: share of faces and F-score of each seed, by variant.
        path: of the picture.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for variant, points in runs.items():
        distance, name = variant.split("_", 1)
        x, y = np.transpose(points)
        label = variant.replace("_", " ")
        axes.plot(100 * x, y, MARKS[distance], ms=7, alpha=0.8, mew=0, color=COLOURS[name], label=label)
    axes.set(xlabel="faces that pass through others, %", ylabel="F-score at 5 %, 10,000 samples", xlim=(0, None))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), title="a mark a seed")
    figure.savefig(path, dpi=110)
    plt.close(figure)
