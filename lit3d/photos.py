"""A photograph becomes what training images are: the object cut out, centred, on white, in a square."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from lit3d.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Photo:
    """A prepared picture.

    Attributes:
        name: file stem.
        image: (h, w, 3) float32 in [0, 1], the square crop on white.
        mask_from: "alpha", "mask file" or "background removal".
        crop: left, top, side of the square in pixels of the file.
    """

    name: str
    image: np.ndarray
    mask_from: str
    crop: tuple[float, float, float]


def find_images(paths: list[str]) -> list[Path]:
    """Image files of a list of files and folders, sorted within each folder.

    Raises:
        UserError: a path that does not exist, or nothing found.
    """
    found: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"there is no image or folder {path}")
    if not found:
        raise UserError(f"no images in {', '.join(paths)}: expected files ending in {' '.join(SUFFIXES)}")
    return found


def prepare(path: Path, mask: Path | None, size: int, fill: float) -> Photo:
    """Cut the object out and centre it so that it fills what objects fill in training.

    Args:
        path: the picture.
        mask: a grey picture of the same size, bright on the object; None: alpha, or plain background removal.
        size: side of the result.
        fill: longer side of the object's box over the side of the picture, the median of training.

    Raises:
        UserError: unreadable, a mask of another size, or no object that stands out.
    """
    rgba = _read(path).convert("RGBA")
    pixels = np.asarray(rgba, np.float32) / 255
    found, origin = _mask(rgba, mask, path)
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    if rows.size == 0:
        raise UserError(f"{path}: the mask is empty, so there is no object to reconstruct")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left) / fill
    x, y = (left + right) / 2 - side / 2, (top + bottom) / 2 - side / 2
    alpha = _soft(found) if origin != "alpha" else pixels[..., 3]
    white = pixels[..., :3] * alpha[..., None] + 1 - alpha[..., None]
    return Photo(path.stem, _crop(white, x, y, side, size), origin, (float(x), float(y), float(side)))


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error})") from None


def _mask(rgba: Image.Image, file: Path | None, path: Path) -> tuple[np.ndarray, str]:
    if file is not None:
        mask = _read(file).convert("L")
        if mask.size != rgba.size:
            raise UserError(f"{file} is {mask.size[0]} x {mask.size[1]}, but {path} is {rgba.size[0]} x {rgba.size[1]}")
        return np.asarray(mask) > 127, "mask file"
    alpha = np.asarray(rgba)[..., 3]
    if (alpha < 128).any():
        return alpha >= 128, "alpha"
    return remove_background(np.asarray(rgba)[..., :3], path), "background removal"


def remove_background(rgb: np.ndarray, path: Path | str = "the picture") -> np.ndarray:
    """Object pixels (h, w) of a picture (h, w, 3) uint8 with a plain background.

    The background is a smooth colour field fitted to the border (a plane per channel, so a gentle gradient is fine);
    what differs from it by more than its own spread, in one large piece with holes filled, is the object.

    Raises:
        UserError: nothing, or nearly everything, stands out.
    """
    h, w = rgb.shape[:2]
    image = ndimage.gaussian_filter(rgb.astype(np.float32), (0.7, 0.7, 0))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    plane = np.stack([np.ones_like(x), x / w, y / h], -1)
    band = max(2, min(h, w) // 40)
    border = np.ones((h, w), bool)
    border[band:-band, band:-band] = False
    kept = border
    for _ in range(3):  # an object that touches the border is an outlier of the fit: leave it out and fit again
        fit, *_ = np.linalg.lstsq(plane[kept], image[kept], rcond=None)
        away = np.linalg.norm(image - plane @ fit, axis=-1)
        spread = float(np.median(away[kept]))
        kept = border & (away <= max(3 * spread, 6))
    objects = ndimage.binary_opening(away > max(6 * spread, 24))
    labels, count = ndimage.label(objects)
    if count:
        sizes = ndimage.sum_labels(objects, labels, np.arange(1, count + 1))
        objects = np.isin(labels, 1 + np.flatnonzero(sizes >= 0.05 * sizes.max()))
    filled = ndimage.binary_fill_holes(objects)
    share = float(filled.mean())
    if not 0.005 < share < 0.95:
        raise UserError(
            f"{path}: no object stands out from a plain background ({share:.1%} of the picture differs): "
            "give mask=FILE (bright on the object) or a PNG with transparency"
        )
    return filled


def _soft(mask: np.ndarray) -> np.ndarray:
    """A mask with an anti-aliased edge."""
    return np.clip(ndimage.gaussian_filter(mask.astype(np.float32), 0.7), 0, 1)


def _crop(image: np.ndarray, x: float, y: float, side: float, size: int) -> np.ndarray:
    """The square at (x, y) as (size, size, 3), white where it leaves the picture; averaged, not sampled."""
    pad = int(np.ceil(max(0, -x, -y, x + side - image.shape[1], y + side - image.shape[0]))) + 1
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), constant_values=1)
    picture = Image.fromarray((np.clip(padded, 0, 1) * 255 + 0.5).astype(np.uint8))
    box = (x + pad, y + pad, x + pad + side, y + pad + side)
    filtering = Image.Resampling.BOX if side > 2 * size else Image.Resampling.BICUBIC
    return np.asarray(picture.resize((size, size), filtering, box=box), np.float32) / 255
