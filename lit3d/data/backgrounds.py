"""What training images stand on: one colour, a gradient, a noise texture, or a piece of a photograph."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from lit3d.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SHORTER = 256  # pixels that photographs are averaged down to
HELD = 256  # of them in memory, 0.2 to 0.4 MB each
SMALLEST_PIECE = 0.4  # of the shorter side: the side of a random piece


def draw_texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """One colour (3,), a gradient or a noise texture (size, size, 3), with equal chances; float32 in [0, 1]."""
    kind = rng.integers(3)
    first, second = rng.random((2, 3), dtype=np.float32)
    if kind == 0:
        return first
    share = gradient(rng, size) if kind == 1 else noise(rng, size)
    return first + share[..., None] * (second - first)


def gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """A ramp from 0 to 1 across (size, size) in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    place = np.linspace(-1, 1, size, dtype=np.float32)
    ramp = np.float32(np.cos(angle)) * place + np.float32(np.sin(angle)) * place[:, None]
    return (ramp - ramp.min()) / (ramp.max() - ramp.min()) if size > 1 else np.zeros((1, 1), np.float32)


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Value noise (size, size) in [0, 1]: random grids of rising fineness, each with weight 1 / cells."""
    coarsest = int(rng.choice([2, 4, 8]))
    field = np.zeros((size, size), np.float32)
    for cells in (c for c in (2, 4, 8, 16, 32) if c >= coarsest):
        up = _hats(size, cells)
        field += up @ rng.random((cells + 1, cells + 1), dtype=np.float32) @ up.T / np.float32(cells)
    low, high = field.min(), field.max()
    return (field - low) / max(float(high - low), 1e-6)


@lru_cache(maxsize=64)
def _hats(size: int, cells: int) -> np.ndarray:
    """Linear interpolation from cells + 1 knots to `size` pixel centres, as a matrix (size, cells + 1)."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size * cells
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells + 1, dtype=np.float32)))


def find_photographs(folder: str) -> tuple[Path, ...]:
    """The pictures of a folder and its sub-folders, in order of their names; each is opened, none is decoded.

    Raises:
        UserError: none there, or one that cannot be opened.
    """
    found = tuple(sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()))
    if not found:
        raise UserError(f"data.augment.background={folder} holds no pictures ({' '.join(SUFFIXES)})")
    for path in found:
        try:
            Image.open(path).close()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UserError(f"background {path} cannot be read as a picture ({error}): mend or remove it") from None
    return found


def draw_piece(rng: np.random.Generator, files: tuple[Path, ...], size: int) -> np.ndarray:
    """A random square of a random photograph as (size, size, 3) float32 in [0, 1], flipped half of the time.

    Raises:
        UserError: the chosen one is damaged.
    """
    picture = _photograph(files[rng.integers(len(files))])
    side = rng.uniform(SMALLEST_PIECE, 1) * min(picture.size)
    left, top = rng.random(2) * (np.array(picture.size) - side)
    flip = rng.random() < 0.5
    piece = picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels = np.asarray(piece, np.float32) / 255
    return pixels[:, ::-1] if flip else pixels


@lru_cache(maxsize=HELD)
def _photograph(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"background {path} is damaged ({error}): remove it") from None
    scale = SHORTER / min(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(n * scale)) for n in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)
