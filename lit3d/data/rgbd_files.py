"""What depth cameras write, as arrays: colour, depth in metres, intrinsics in the house convention."""

import json
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from lit3d.errors import UserError

PICTURES = (".png", ".tif", ".tiff", ".pgm")
ARRAYS = (".npy", ".npz")
DEPTH_SUFFIXES = (*PICTURES, *ARRAYS, ".exr")
MILLIMETRE = 0.001
MATRICES = ("intrinsic_matrix", "camera_matrix", "K", "k", "intrinsics", "cam_K", "camera_intrinsics")
NESTED = ("color", "colour", "rgb", "depth", "camera", "intrinsics", "color_intrinsics", "depth_intrinsics")
_AS_16_BIT = "save depth as 16-bit PNG (Kinect, RealSense and ToF tools do), .npy, .npz or .exr"


def read_colour(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """A picture as RGB.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"image {path} cannot be read ({error})") from None


def read_depth(path: Path, scale: float | None = None) -> Float[np.ndarray, "h w"]:
    """Depth in metres as it was written, float32: holes, NaN and infinity are left in.

    Args:
        path: 16-bit PNG, TIFF or PGM; .npy; .npz (its array `depth`, or its only one); .exr (channel Z, or its only
            one).
        scale: metres for a unit; None: 0.001 for whole numbers (millimetres), 1 for others (metres).

    Raises:
        UserError: unreadable, or not depth: eight bits, colours, several arrays.
    """
    suffix = path.suffix.lower()
    read = _array if suffix in ARRAYS else _exr if suffix == ".exr" else _picture
    try:
        values = np.squeeze(read(path))
    except UserError:
        raise
    except Exception as error:  # zip, zlib, pickle and Pillow each report damage in their own way
        text = " ".join(str(error).split())[:100]
        raise UserError(f"depth {path} cannot be read ({type(error).__name__}: {text})") from None
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise UserError(f"depth {path} must be numbers of shape (h, w), it is {values.dtype} {values.shape}")
    if values.dtype.itemsize == 1:
        raise UserError(f"depth {path} has 8 bits, 255 steps at most, which is a picture of depth: {_AS_16_BIT}")
    usual = 1.0 if values.dtype.kind == "f" else MILLIMETRE
    return (values * np.float64(usual if scale is None else scale)).astype(np.float32)


def _picture(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        if file.mode not in ("F", "I") and not file.mode.startswith("I;16"):
            bits = "in colours" if len(file.getbands()) > 1 else "with 8 bits or fewer"
            raise UserError(f"depth {path} is a picture {bits}, not depth: {_AS_16_BIT}")
        return np.asarray(file)


def _array(path: Path) -> np.ndarray:
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        names = list(found)
        if "depth" not in names and len(names) != 1:
            raise UserError(f"depth {path} holds the arrays {', '.join(names) or 'none'}: name one of them 'depth'")
        return found["depth" if "depth" in names else names[0]]


def _exr(path: Path) -> np.ndarray:
    try:
        reader: Any = import_module("OpenEXR")
    except ImportError:
        raise UserError(f"depth {path} is OpenEXR, which needs its library: pip install 'lit3d[exr]'") from None
    channels = reader.File(str(path), separate_channels=True).channels()
    names = [name for name in ("Z", "depth", "Y", "R") if name in channels] or list(channels)
    return np.asarray(channels[names[0]].pixels)


def picture_size(path: Path) -> tuple[int, int] | None:
    """(h, w) of a picture by its head alone; None for files whose head does not say it.

    Raises:
        UserError: it cannot be opened.
    """
    if path.suffix.lower() in (*ARRAYS, ".exr"):
        return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as file:
            return file.height, file.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error})") from None


# --- intrinsics -------------------------------------------------------------------------------------------------------


def read_intrinsics(path: Path, size: tuple[int, int], pixel_centre: float = 0.0) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of a JSON file in pixels of a picture of `size` (h, w), pixel centres at +0.5 as everywhere here.

    `pixel_centre` says where the file has the centre of the first pixel: 0 in OpenCV, RealSense, Open3D and ROS.

    Known spellings: fx, fy with cx, cy or ppx, ppy (RealSense), at the top or under color, depth, camera ...; a matrix
    (intrinsic_matrix, camera_matrix, K ...) as three rows, as nine numbers by rows or by columns (Open3D), or OpenCV's
    {rows, cols, data}. Where width and height stand beside them and differ from the picture's, they are scaled.

    Raises:
        UserError: unreadable, another spelling, or a picture of another shape.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"intrinsics {path} cannot be read as JSON ({error})") from None
    found = _search(read)
    if found is None:
        raise UserError(
            f"intrinsics {path}: expected fx, fy, cx, cy (or ppx, ppy) or a 3 x 3 'intrinsic_matrix', "
            f"got {', '.join(read) if isinstance(read, dict) else type(read).__name__}"
        )
    matrix, (height, width) = found
    scale = (size[1] / width, size[0] / height) if height and width else (1.0, 1.0)
    if abs(scale[0] / scale[1] - 1) > 0.01:
        raise UserError(f"intrinsics {path} belong to {width} x {height} pixels, but images have {size[1]} x {size[0]}")
    return np.diag([*scale, 1.0]) @ centred(checked_matrix(matrix, str(path)), pixel_centre)


def _search(node: Any) -> tuple[np.ndarray, tuple[int, int]] | None:
    if not isinstance(node, Mapping):
        return None
    size = int(node.get("height") or 0), int(node.get("width") or 0)
    x, y = (node.get(f"c{axis}", node.get(f"pp{axis}")) for axis in "xy")
    if "fx" in node and x is not None and y is not None:
        return np.array([[node["fx"], 0, x], [0, node.get("fy", node["fx"]), y], [0, 0, 1]], object), size
    for key in MATRICES:
        value = node[key].get("data") if isinstance(node.get(key), Mapping) else node.get(key)
        if isinstance(value, list) and np.size(np.asarray(value, object)) == 9:
            return np.asarray(value, object).reshape(3, 3), size
    inner = (_search(node[key]) for key in NESTED if key in node)
    found = next((f for f in inner if f is not None), None)
    return found and (found[0], found[1] if all(found[1]) else size)


def checked_matrix(matrix: Any, what: str) -> Float[np.ndarray, "3 3"]:
    """Intrinsics as numbers, by rows; a matrix by columns is known by its last column (0, 0, 1).

    Raises:
        UserError: they are no intrinsics.
    """
    try:
        found = np.asarray(matrix, np.float64).reshape(3, 3)
    except (TypeError, ValueError):
        got = np.asarray(matrix, object).tolist()
        raise UserError(f"intrinsics of {what} must be numbers, 3 x 3, got {got}") from None
    found = found if np.array_equal(found[2], (0, 0, 1)) else found.T
    if not (np.array_equal(found[2], (0, 0, 1)) and np.isfinite(found).all() and min(found[0, 0], found[1, 1]) > 0):
        raise UserError(f"intrinsics of {what} must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], got {found.tolist()}")
    return found


def centred(matrix: Float[np.ndarray, "3 3"], pixel_centre: float) -> Float[np.ndarray, "3 3"]:
    """Intrinsics with pixel centres at +0.5 of ones that have the first at `pixel_centre`."""
    out = matrix.copy()
    out[:2, 2] += 0.5 - pixel_centre
    return out
