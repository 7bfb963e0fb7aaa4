"""A window of an image and its depth at another size, and the intrinsics that go with it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

Size = tuple[int, int]  # (h, w)


@dataclass(frozen=True)
class Window:
    """A rectangle in pixels of a picture; its corners may lie between pixels."""

    left: float
    top: float
    width: float
    height: float


def central(size: Size, target: Size, share: float = 1.0) -> Window:
    """The largest window with the sides of `target` in the middle of a picture of `size`, times `share`."""
    return placed(size, target, share, 0.5, 0.5)


def placed(size: Size, target: Size, share: float, x: float, y: float) -> Window:
    """As `central`, at a share x, y in [0, 1] of the free way from the left and from above."""
    scale = share * min(size[0] / target[0], size[1] / target[1])
    height, width = scale * target[0], scale * target[1]
    return Window(x * (size[1] - width), y * (size[0] - height), width, height)


def resized_colour(image: UInt8[np.ndarray, "H W 3"], window: Window, size: Size) -> UInt8[np.ndarray, "h w 3"]:
    """The window at `size`: each pixel the mean over its area; enlarged, bilinear."""
    box = (window.left, window.top, window.left + window.width, window.top + window.height)
    kind = Image.Resampling.BOX if window.width >= size[1] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), kind, box=box))


def resized_depth(depth: Float[np.ndarray, "H W"], window: Window, size: Size) -> Float[np.ndarray, "h w"]:
    """The window at `size`: each pixel the valid (> 0) depth closest to its centre within its area, else 0.

    Nothing is averaged, for a mean over a depth edge lies on neither surface.
    """
    scale = window.height / size[0], window.width / size[1]
    y = window.top + (np.arange(size[0]) + 0.5) * scale[0]
    x = window.left + (np.arange(size[1]) + 0.5) * scale[1]
    out = np.zeros(size, np.float32)
    best = np.full(size, np.inf)
    reach = [int(np.ceil(s / 2)) for s in scale]
    for dy in range(-reach[0], reach[0] + 1):
        rows, away_y = _around(y, dy, scale[0], depth.shape[0])
        for dx in range(-reach[1], reach[1] + 1):
            columns, away_x = _around(x, dx, scale[1], depth.shape[1])
            away = away_y[:, None] ** 2 + away_x**2
            value = depth[rows[:, None], columns]
            closer = (value > 0) & (away < best)
            out[closer], best[closer] = value[closer], away[closer]
    return out


def _around(centre: np.ndarray, step: int, scale: float, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Source pixels `step` beside the one at each centre, and how far their centres are; infinite outside its area."""
    index = np.floor(centre).astype(int) + step
    away = np.abs(index + 0.5 - centre)
    inside = (index >= 0) & (index < length) & ((away <= scale / 2 + 1e-9) | (step == 0))
    return np.clip(index, 0, length - 1), np.where(inside, away, np.inf)


def resized_intrinsics(matrix: Float[np.ndarray, "3 3"], window: Window, size: Size) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of the window at `size`; pixel centres at +0.5 on both sides, so a crop shifts and a size scales."""
    shift, scale = np.eye(3), np.diag([size[1] / window.width, size[0] / window.height, 1.0])
    shift[:2, 2] = -window.left, -window.top
    return scale @ shift @ matrix
