"""Pictures of point sets: shaded balls seen by a camera, and grids of views."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

BALL = 0.016  # radius of a drawn point in units of the longest side: neighbours of 1024 points just touch
INK = (60, 60, 60)


def draw_points(
    points: np.ndarray, intrinsics: np.ndarray, size: int, colours: np.ndarray, ball: float = BALL
) -> np.ndarray:
    """Points as shaded balls on white, nearest on top.

    Args:
        points: (n, 3) camera coordinates; those behind the camera or not finite are left out.
        intrinsics: (3, 3) for a square picture of `size` pixels.
        size: side of the picture.
        colours: (n, 3) in [0, 1].
        ball: radius of a ball in the points' unit.

    Returns:
        (size, size, 3) uint8.
    """
    picture = np.full((size, size, 3), 255, np.float32)
    near = np.full((size, size), np.inf, np.float32)
    usable = np.isfinite(points).all(1) & (points[:, 2] > 1e-3)
    for (x, y, z), colour in zip(points[usable], colours[usable], strict=True):
        u, v = intrinsics[0, 0] * x / z + intrinsics[0, 2], intrinsics[1, 1] * y / z + intrinsics[1, 2]
        r = max(1.0, intrinsics[0, 0] * ball / z)
        rows = slice(max(0, int(v - r)), min(size, int(v + r) + 2))
        columns = slice(max(0, int(u - r)), min(size, int(u + r) + 2))
        dy, dx = np.ogrid[rows.start + 0.5 - v : rows.stop - v : 1, columns.start + 0.5 - u : columns.stop - u : 1]
        dy, dx = dy[: rows.stop - rows.start], dx[:, : columns.stop - columns.start]
        if not dy.size or not dx.size:
            continue
        bulge = 1 - (dx**2 + dy**2) / r**2
        depth = z - ball * np.sqrt(np.maximum(bulge, 0))
        top = (bulge > 0) & (depth < near[rows, columns])
        light = 0.55 + 0.45 * np.sqrt(np.maximum(bulge, 0)) - 0.12 * dy / r
        near[rows, columns][top] = depth[top]
        picture[rows, columns][top] = 255 * np.clip(light[top][:, None] * colour, 0, 1)
    return picture.astype(np.uint8)


def colours_by_depth(points: np.ndarray, lower: float | None = None, upper: float | None = None) -> np.ndarray:
    """(n, 3) colours from near (yellow) to far (violet) along z, so a turned view shows what the input view hid."""
    z = points[:, 2]
    if not np.isfinite(z).any():
        return np.zeros_like(points)
    own = depth_range(z)
    return near_to_far(z, own[0] if lower is None else lower, own[1] if upper is None else upper)


def depth_range(depth: np.ndarray) -> tuple[float, float]:
    """Least and largest finite depth; 0 and 1 where there is none."""
    finite = depth[np.isfinite(depth)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def near_to_far(depth: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Colours (..., 3) of depths (...) from `lower` (yellow) to `upper` (violet)."""
    share = (np.nan_to_num(depth) - lower) / max(upper - lower, 1e-9)
    return matplotlib.colormaps["viridis"](1 - np.clip(share, 0, 1))[..., :3]


def coloured(values: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """A map (c, h, w) in the pixels of an image as a picture (h, w, 3) uint8, white where it is NaN.

    One channel is a depth, in the colours of the point sets; three are unit normals in camera axes, whose colours are
    those of normal maps elsewhere: red to the right, green upwards, blue towards the camera.

    Args:
        values: depth (1, h, w) or normals (3, h, w).
        limits: depths of the first and the last colour; None: the least and the largest.
    """
    if len(values) == 1:
        colours = near_to_far(values[0], *(limits or depth_range(values)))
    else:
        colours = (values.transpose(1, 2, 0) * (1, -1, -1) + 1) / 2
    known = np.isfinite(values).all(0)[..., None]
    return (np.where(known, np.clip(np.nan_to_num(colours), 0, 1), 1) * 255 + 0.5).astype(np.uint8)


def in_square(intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Intrinsics (3, 3) of an image for the square in whose middle it lies whole."""
    moved, side = intrinsics.copy(), max(height, width)
    moved[:2, 2] += (side - width) / 2, (side - height) / 2
    return moved


def turned(points: np.ndarray, degrees: float, axis: np.ndarray) -> np.ndarray:
    """Points (n, 3) turned about an axis through the origin (Rodrigues' formula)."""
    k, angle = axis / np.linalg.norm(axis), np.deg2rad(degrees)
    return points * np.cos(angle) + np.cross(k, points) * np.sin(angle) + np.outer(points @ k, k) * (1 - np.cos(angle))


def two_views(
    points: np.ndarray, intrinsics: np.ndarray, pose: np.ndarray, up: np.ndarray, size: int, image_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """A point set (n, 3) in the target frame from the input's view, and turned by 90 degrees about `up`."""
    scaled = intrinsics.copy()
    scaled[:2] *= size / image_size
    colours = colours_by_depth(points @ pose[:3, :3].T)
    pictures = []
    for degrees in (0.0, 90.0):
        camera = turned(points, degrees, up) @ pose[:3, :3].T + pose[:3, 3]
        pictures.append(draw_points(camera, scaled, size, colours))
    return pictures[0], pictures[1]


def upscaled(image: np.ndarray, size: int) -> np.ndarray:
    """A float image (h, w, 3) in [0, 1] as uint8 (size, size, 3), whole."""
    return fitted((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), size)


def fitted(picture: np.ndarray, size: int, pixels: bool = False) -> np.ndarray:
    """A picture (h, w, 3) uint8 of any shape, whole, in the middle of a white square (size, size, 3).

    `pixels`: enlarge each to a block, as maps want it, whose values must not run into each other.
    """
    h, w = picture.shape[:2]
    height, width = (max(1, round(n * size / max(h, w))) for n in (h, w))
    enlarging = Image.Resampling.NEAREST if pixels else Image.Resampling.LANCZOS
    filtering = Image.Resampling.BOX if max(h, w) > 2 * size else enlarging
    square = Image.new("RGB", (size, size), "white")
    corner = (size - width) // 2, (size - height) // 2
    square.paste(Image.fromarray(picture).resize((width, height), filtering), corner)
    return np.asarray(square)


def grid(rows: Sequence[Sequence[np.ndarray]], heads: Sequence[str], notes: Sequence[str] = ()) -> Image.Image:
    """Rows of square pictures of equal size under column heads, a note at the left of each row's first picture."""
    size, gap, head = rows[0][0].shape[0], 6, 26
    sheet = Image.new("RGB", (len(rows[0]) * (size + gap) + gap, len(rows) * (size + gap) + gap + head), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for c, text in enumerate(heads):
        pen.text((gap + c * (size + gap) + size / 2, head / 2 + 2), text, INK, font, anchor="mm")
    for r, row in enumerate(rows):
        top = head + gap + r * (size + gap)
        for c, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (gap + c * (size + gap), top))
        if r < len(notes):
            pen.text((gap + 4, top + 3), notes[r], INK, ImageFont.load_default(11), stroke_width=2, stroke_fill="white")
    return sheet


def save_image(image: Image.Image, path: Path) -> None:
    """Write aside, then rename: a reader never sees half a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    image.save(aside, format=path.suffix.removeprefix(".").upper().replace("JPG", "JPEG"))
    aside.replace(path)
