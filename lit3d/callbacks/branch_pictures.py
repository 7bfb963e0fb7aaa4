"""Pictures of a head's branches: who draws which points, and how the grid of one lies on the object."""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.utils.data import default_collate

from lit3d import drawing
from lit3d.metrics.branches import KINDS, kinds_of_points
from lit3d.metrics.parameterisation import grid_cells
from lit3d.networks.heads import FULLY_CONNECTED, UPCONVOLUTION, Layout

HEADS = ("input", "truth: thickness", "branches", "branches, 90°", "grid (u, v)", "grid (u, v), 90°", "xyz image")
BRANCH_COLOURS = {FULLY_CONNECTED: (0.98, 0.55, 0.1), UPCONVOLUTION: (0.25, 0.5, 0.85)}
BRANCH_NAMES = {FULLY_CONNECTED: "fully connected", UPCONVOLUTION: "upconvolution"}
KIND_COLOURS = ((0.78, 0.78, 0.78), (0.35, 0.7, 0.6), (0.85, 0.2, 0.5))
CORNERS = np.array([[(0.1, 0.3, 0.95), (0.95, 0.15, 0.2)], [(0.0, 0.7, 0.35), (1.0, 0.88, 0.1)]])  # (v, u)


def colours_by_uv(uv: np.ndarray) -> np.ndarray:
    """Places (..., 2) in [0, 1] as colours (..., 3): blue, red, green and yellow corners, bilinear between."""
    u, v = uv[..., :1], uv[..., 1:]
    upper, lower = (CORNERS[r, 0] * (1 - u) + CORNERS[r, 1] * u for r in (0, 1))
    return upper * (1 - v) + lower * v


def xyz_image(points: np.ndarray, cells: np.ndarray, size: int) -> np.ndarray:
    """The grid of points (n, 3) as a picture (size, size, 3) uint8: x, y, z in [-0.5, 0.5] are red, green, blue.

    Cells without a point are white.
    """
    colours = np.clip(points[cells] + 0.5, 0, 1)
    colours[cells < 0] = 1
    scale = size / max(cells.shape)
    shape = (round(cells.shape[1] * scale), round(cells.shape[0] * scale))
    small = Image.fromarray((colours * 255 + 0.5).astype(np.uint8)).resize(shape, Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (size, size), "white")
    sheet.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    return np.asarray(sheet)


def branch_grid(module: Any, samples: list[Any], layout: Layout, size: int = 160) -> Image.Image:
    """A row for each sample (with `point_parts`), columns `HEADS`, a legend below."""
    batch = module.transfer_batch_to_device(default_collate(samples), module.device, 0)
    training = module.training
    module.eval()
    with torch.no_grad():
        points = module(batch).points.cpu().double().numpy()
    module.train(training)
    rows = [_row(sample, points[i], layout, size) for i, sample in enumerate(samples)]
    return _with_legend(drawing.grid(rows, HEADS, [s["category"] for s in samples]), layout)


def _row(sample: Any, points: np.ndarray, layout: Layout, size: int) -> list[np.ndarray]:
    """One sample's pictures."""
    truth, parts = sample["points"].numpy(), sample["point_parts"].numpy()
    kinds = np.array(KIND_COLOURS)[kinds_of_points(truth, parts)]
    some = slice(0, max(1024, len(points)))
    branch = layout.branch.numpy()
    colours = np.array([BRANCH_COLOURS[int(k)] for k in branch])
    on_grid = ~layout.uv.isnan().any(1).numpy()
    uv = colours_by_uv(layout.uv.numpy()[on_grid])
    cells = grid_cells(layout.uv).numpy()
    return [
        drawing.upscaled(sample["image"].permute(1, 2, 0).numpy(), size),
        _seen(sample, truth[some], kinds[some], 0, size),
        *(_seen(sample, points, colours, degrees, size) for degrees in (0, 90)),
        *(_seen(sample, points[on_grid], uv, degrees, size) for degrees in (0, 90)),
        xyz_image(points, cells, size),
    ]


def _seen(sample: Any, points: np.ndarray, colours: np.ndarray, degrees: float, size: int) -> np.ndarray:
    """Coloured points from the input's view, turned about the object's vertical axis."""
    intrinsics, pose = (sample[k].double().numpy() for k in ("intrinsics", "pose"))
    intrinsics[:2] *= size / sample["image"].shape[-1]
    up = sample["object_to_target"][:3, 1].double().numpy()
    camera = drawing.turned(points.astype(float), degrees, up) @ pose[:3, :3].T + pose[:3, 3]
    return drawing.draw_points(camera, intrinsics, size, colours)


def _with_legend(grid: Image.Image, layout: Layout) -> Image.Image:
    """The picture with a band below it that says what colours mean."""
    band, square = 92, 72
    sheet = Image.new("RGB", (grid.width, grid.height + band), "white")
    sheet.paste(grid, (0, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    column = (grid.width - 6) // len(HEADS)
    top = grid.height + 8
    pairs = list(zip(KINDS, ("thick", "thin in one direction", "thin in two"), strict=True))
    _swatches(pen, font, column + 10, top, [(f"{k}: {what}", KIND_COLOURS[i]) for i, (k, what) in enumerate(pairs)])
    present = [(k, int((layout.branch == k).sum())) for k in BRANCH_COLOURS]
    entries = [(f"{BRANCH_NAMES[k]}: {count} points", BRANCH_COLOURS[k]) for k, count in present if count]
    _swatches(pen, font, 2 * column + 60, top, entries)
    axis = np.linspace(0, 1, square)
    map_of_colours = colours_by_uv(np.stack(np.meshgrid(axis, axis), axis=-1))
    left = 4 * column + 24
    sheet.paste(Image.fromarray((map_of_colours * 255).astype(np.uint8)), (left, top))
    pen.text((left + square + 6, top), "u to the right, v down:", drawing.INK, font)
    pen.text((left + square + 6, top + 18), "one colour map for all objects", drawing.INK, font)
    for i, text in enumerate(("red, green, blue =", "x, y, z from -0.5 to 0.5", "of each grid cell")):
        pen.text((6 * column + 8, top + 18 * i), text, drawing.INK, font)
    return sheet


def _swatches(pen: Any, font: Any, left: int, top: int, entries: list[tuple[str, Any]]) -> None:
    for i, (text, colour) in enumerate(entries):
        y = top + 20 * i
        pen.ellipse((left, y, left + 13, y + 13), fill=tuple(round(255 * c) for c in colour))
        pen.text((left + 20, y - 1), text, drawing.INK, font)
