"""The figures of this experiment: predictions with their normals and from the side, and all runs as two numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from torch.utils.data import default_collate

from experiments.depth_losses.variants import VARIANTS
from experiments.sheets import first_views, noted, test_data
from lit3d import drawing, ops
from lit3d.build import load_module
from lit3d.callbacks.views import look
from lit3d.metrics.depth_shape import angles
from lit3d.ops.depth import edge_band, unproject, valid_depth
from lit3d.structures import DepthMap
from lit3d.structures.depth_map import geometric_normals

KEYS = ("image", "depth", "normal", "mask", "intrinsics", "pose", "points")
SIZE = 192  # side of a cell, a multiple of the picture's
WIDE = 1.2  # of the view from the side, in units of the longest side
RADIUS = 0.05  # from which on a pixel is flying
NEAR, FLYING = (0.42, 0.55, 0.72), (0.86, 0.16, 0.12)
COLOURS = ("#444444", "#d0392b", "#e08e1b", "#9b6fc4", "#2b6cb0", "#2f9e60", "#17a2b8")


class Shown(NamedTuple):
    """A depth map in cells: depth, normals, from the side; and a number for each."""

    cells: tuple[np.ndarray, np.ndarray, np.ndarray]
    notes: tuple[str, str, str]


def aligned(depth: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Depth times the ratio of medians of one sample: what is shown is the shape, not the distance."""
    return depth * (truth[valid].median() / depth[valid].median())


def shown(depth: torch.Tensor, mask: torch.Tensor, batch: Mapping[str, Any]) -> Shown:
    """The cells of a sample: a batch of one, with depth and mask (1, 1, h, w) of a prediction or of the truth."""
    truth, k = batch["depth"], batch["intrinsics"]
    valid = valid_depth(truth, batch["mask"])
    inside = valid & mask & ~edge_band(truth, batch["mask"])
    normal, limits = geometric_normals(depth, mask, k), drawing.depth_range(truth[valid].numpy())
    maps = (drawing.coloured(torch.where(mask, x, torch.nan)[0].numpy(), limits) for x in (depth, normal))
    points, true_points = (unproject(d, k).flatten(2).mT[:, m.flatten()] for d, m in ((depth, mask), (truth, valid)))
    flying = ops.nearest(points, true_points)[0].sqrt()[0] > RADIUS if mask.any() else points.new_zeros(0).bool()
    side = from_the_side(points[0].double().numpy(), true_points[0].double().numpy(), flying.numpy())
    error = float(((depth - truth).abs() / truth)[valid].mean())
    angle = float(angles(normal, batch["normal"])[inside].mean())
    cells = (*(closer(x, batch["mask"][0, 0].numpy()) for x in maps), side)
    return Shown(cells, (f"{error:.1%}", f"{angle:.0f}°", f"{float(flying.double().mean()):.0%} fly"))


def closer(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The part of a square picture (h, h, 3) around the object, half, three quarters or all, in pixels of one size."""
    h, rows, columns = len(mask), *np.nonzero(mask)
    need = max(np.ptp(rows), np.ptp(columns)) + 5  # two pixels of margin
    side = next((part for part in (h // 2, h * 3 // 4) if part >= need), h)
    y, x = (int(np.clip((at.min() + at.max() - side + 1) // 2, 0, h - side)) for at in (rows, columns))
    return drawing.fitted(picture[y : y + side, x : x + side], SIZE, pixels=True)


def from_the_side(points: np.ndarray, truth: np.ndarray, flying: np.ndarray) -> np.ndarray:
    """Points (n, 3) in camera coordinates seen at a right angle to the view, the camera at the left, in parallel.

    The picture is `WIDE` units wide and centred on the true points; flying points are red.
    """
    far = 1000.0
    x, y, z = (points - (truth.min(0) + truth.max(0)) / 2).T
    focal = SIZE / WIDE * far
    intrinsics = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
    colours = np.where(flying[:, None], FLYING, NEAR)
    return drawing.draw_points(np.stack([z, y, far - x], 1), intrinsics, SIZE, colours)


def predictions(module: Any, chosen: Sequence[Any]) -> list[Shown]:
    """What a network makes of samples, each scaled to the true median depth."""
    depth_map, found = look(module, list(chosen)).prediction, []
    assert isinstance(depth_map, DepthMap)
    for i, sample in enumerate(chosen):
        batch, one = default_collate([sample]), depth_map.select(i)
        depth = aligned(one.depth, batch["depth"], valid_depth(batch["depth"], batch["mask"]))
        found.append(shown(depth, one.mask, batch))
    return found


def draw_predictions(runs: Mapping[str, Path], path: Path) -> None:
    """A sheet with three rows an image, depth, normals and from the side; columns: the image, the truth, variants.

    Args:
        runs: a run folder of each variant.
        path: of the picture.
    """
    modules = {variant: load_module(folder / "checkpoints" / "best.ckpt") for variant, folder in runs.items()}
    chosen = first_views(test_data(next(iter(modules.values()))), KEYS)
    batches = [default_collate([sample]) for sample in chosen]
    columns = {"truth": [shown(b["depth"], valid_depth(b["depth"], b["mask"]), b) for b in batches]}
    columns |= {variant: predictions(module, chosen) for variant, module in modules.items()}
    rows, notes = [], []
    for i, sample in enumerate(chosen):
        image = (sample["image"].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
        first = (closer(image, sample["mask"][0].numpy()), *[np.full((SIZE, SIZE, 3), 255, np.uint8)] * 2)
        for j, what in enumerate(("depth", "normals of the depth", "from the side, camera at the left")):
            rows.append([first[j], *(noted(found[i].cells[j], found[i].notes[j]) for found in columns.values())])
            notes.append(f"{sample['category']}: {what}" if j == 0 else what)
    drawing.save_image(drawing.grid(rows, ["", *columns], notes), path)


def draw_errors(runs: Mapping[str, Sequence[tuple[float, float]]], floor: float | None, path: Path) -> None:
    """All runs: error of depth to the right, of normals upwards.

    Args:
        runs: abs_rel and degrees of each seed, by variant.
        floor: degrees of the normals that the same fit finds in the true depth, where it was measured.
        path: of the picture.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    colours = dict(zip(VARIANTS, COLOURS, strict=True))
    for variant, points in runs.items():
        axes.plot(*np.transpose(points), "o", ms=7, alpha=0.8, color=colours.get(variant, "#999999"), label=variant)
    if floor is not None:
        axes.axhline(floor, color="#999999", ls="--", lw=1)
        axes.annotate("normals of the true depth by the same fit", (0.01, floor), xycoords=("axes fraction", "data"),
                      xytext=(0, 3), textcoords="offset points", size=8, color="#777777")  # fmt: skip
    axes.set(xlabel="error of depth: abs_rel, unaligned", ylabel="error of the normals of the depth, degrees")
    limits = 1.15 * np.max([point for points in runs.values() for point in points], axis=0)
    axes.set(xlim=(0, limits[0]), ylim=(0, limits[1]))  # from 0, so that similar errors look similar
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), title="a point a seed")
    figure.savefig(path, dpi=110)
    plt.close(figure)
