"""A photograph becomes what training images are: the object cut out, centred, on white, in a square."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from lit3d.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MASK_SUFFIX = ".mask.png"  # chair.mask.png beside chair.jpg is its mask
ANIMATED = ("GIF", "PNG", "WEBP")  # further frames of others are previews (MPO of phones) or pages (TIFF)
LONGEST = 1024  # pixels; larger pictures are averaged down before anything else: networks read far less
SMALLEST = 8  # pixels of an object: fewer show no shape


@dataclass(frozen=True)
class Photo:
    """A prepared picture.

    Attributes:
        name: file stem.
        image: (h, w, 3) float32 in [0, 1], the square crop on white.
        mask: (h, w) bool, the object in it.
        mask_from: "alpha", "mask file", "background removal" or "whole picture".
        crop: left, top, side of the square in pixels of the file; of a whole picture left, top, width, height.
        whole: (H, W, 3) uint8, the picture as it came, on white where it is transparent; longer side at most `LONGEST`.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    mask_from: str
    crop: tuple[float, ...]
    whole: np.ndarray


def find_images(paths: list[str]) -> list[Path]:
    """Image files of a list of files and folders, sorted within each folder, without masks.

    Raises:
        UserError: a path that does not exist, nothing found, or two files of one name, whose results would collide.
    """
    found: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if _is_picture(p))
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"there is no image or folder {path}")
    if not found:
        raise UserError(f"no images in {', '.join(paths)}: expected files ending in {' '.join(SUFFIXES)}")
    first: dict[str, Path] = {}
    for path in found:
        if (twin := first.setdefault(path.stem, path)) != path:
            raise UserError(f"{twin} and {path} would write results of the same name: rename one or predict it apart")
    return list(first.values())


def _is_picture(path: Path) -> bool:
    hidden_or_mask = path.name.startswith(".") or path.name.endswith(MASK_SUFFIX)
    return path.suffix.lower() in SUFFIXES and not hidden_or_mask and path.is_file()


def mask_beside(path: Path) -> Path | None:
    """The mask that lies beside a picture: `chair.mask.png` for `chair.jpg`."""
    mask = path.with_name(path.stem + MASK_SUFFIX)
    return mask if mask.is_file() else None


def prepare(path: Path, mask: Path | None, size: int, fill: float) -> Photo:
    """Cut the object out and centre it so that it fills what objects fill in training.

    Args:
        path: the picture.
        mask: a grey picture of the same size, bright on the object; None: alpha, or plain background removal.
        size: side of the result.
        fill: longer side of the object's box over the side of the picture, the median of training.

    Raises:
        UserError: unreadable, animated, a mask of another size, no object that stands out, or one of a few pixels.
    """
    full = _read(path)
    rgba = _reduced(full)
    scale = full.width / rgba.width
    pixels = np.asarray(rgba, np.float32) / 255
    found, origin = _mask(rgba, full.size, mask, path)
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    if rows.size == 0:
        raise UserError(f"{path}: the mask is empty, so there is no object to reconstruct")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    longer = max(bottom - top, right - left)
    if longer < SMALLEST:
        raise UserError(f"{path}: the object is {longer} pixels long, but its shape cannot be seen below {SMALLEST}")
    side = longer / fill
    x, y = (left + right) / 2 - side / 2, (top + bottom) / 2 - side / 2
    crop = (float(x * scale), float(y * scale), float(side * scale))
    whole = _on_white(pixels, pixels[..., 3])
    cut = whole if origin == "alpha" else _on_white(pixels, _soft(found))
    outside = _crop(np.repeat(1 - found[..., None].astype(np.float32), 3, axis=2), x, y, side, size)
    image, inside = _crop(cut, x, y, side, size), outside[..., 0] < 0.5
    return Photo(path.stem, image, inside, origin, crop, (whole * 255 + 0.5).astype(np.uint8))


def whole(path: Path, size: tuple[int, int]) -> Photo:
    """A scene as it is: the largest central window of the shape (h, w) = `size`, averaged down to it.

    Raises:
        UserError: unreadable or animated.
    """
    full = _read(path)
    rgba = _reduced(full)
    pixels = np.asarray(rgba, np.float32) / 255
    white = (_on_white(pixels, pixels[..., 3]) * 255 + 0.5).astype(np.uint8)
    scale = min(rgba.height / size[0], rgba.width / size[1])
    height, width = scale * size[0], scale * size[1]
    left, top = (rgba.width - width) / 2, (rgba.height - height) / 2
    filtering = Image.Resampling.BOX if scale >= 1 else Image.Resampling.BILINEAR
    box = (left, top, left + width, top + height)
    image = np.asarray(Image.fromarray(white).resize((size[1], size[0]), filtering, box=box), np.float32) / 255
    crop = tuple(float(x * full.width / rgba.width) for x in (left, top, width, height))
    return Photo(path.stem, image, np.ones(size, bool), "whole picture", crop, white)


def _on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return pixels[..., :3] * alpha[..., None] + 1 - alpha[..., None]


def _read(path: Path) -> Image.Image:
    """A picture of any kind as 8-bit RGBA, turned as its camera was held."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, but not too large
            with Image.open(path) as file:
                frames = getattr(file, "n_frames", 1)
                if file.format in ANIMATED and frames > 1:
                    raise UserError(f"{path} holds {frames} frames: save the one that is wanted as a PNG")
                return _eight_bits(ImageOps.exif_transpose(file), path)
    except UserError:
        raise
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(f"{path} has more than {most} million pixels: scale it down") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error})") from None


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """RGBA of any mode; grey of 16 bits or of floating-point numbers is scaled, which Pillow would clip."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        if not np.isfinite(values).all():
            raise UserError(f"{path} holds values that are not finite numbers: mend them or save it as 8 bits")
        lowest, highest = float(values.min()), float(values.max())
        if lowest < 0 or highest > 65535:
            raise UserError(f"{path} holds values from {lowest:g} to {highest:g}: 0 to 1, 255 or 65535 are expected")
        top = 1 if image.mode == "F" and highest <= 1 else 255 if image.mode == "F" and highest <= 255 else 65535
        image = Image.fromarray((values * (255 / top) + 0.5).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "P", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB").convert("RGBA")  # by way of RGB, for not every mode (CMYK, Lab) leads to RGBA


def _reduced(image: Image.Image) -> Image.Image:
    longer = max(image.size)
    if longer <= LONGEST:
        return image
    width, height = (max(1, round(n * LONGEST / longer)) for n in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def _mask(rgba: Image.Image, size: tuple[int, int], file: Path | None, path: Path) -> tuple[np.ndarray, str]:
    if file is not None:
        mask = _read(file).convert("L")
        if mask.size != size:
            raise UserError(f"{file} is {mask.size[0]} x {mask.size[1]}, but {path} is {size[0]} x {size[1]}")
        return np.asarray(_reduced(mask)) > 127, "mask file"
    alpha = np.asarray(rgba)[..., 3]
    if (alpha < 128).any():
        return alpha >= 128, "alpha"
    return remove_background(np.asarray(rgba)[..., :3], path), "background removal"


def remove_background(rgb: np.ndarray, path: Path | str = "the picture") -> np.ndarray:
    """Object pixels (h, w) of a picture (h, w, 3) uint8 with a plain background.

    The background is a smooth colour field fitted to the border (a plane per channel, so a gentle gradient is fine);
    what differs from it by more than its own spread, in one large piece with holes filled, is the object.

    Raises:
        UserError: nothing, or nearly everything, stands out; or hardly any pixels.
    """
    h, w = rgb.shape[:2]
    if min(h, w) < SMALLEST:
        raise UserError(f"{path} is {w} x {h} pixels: an object cannot be told from its background below {SMALLEST}")
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
