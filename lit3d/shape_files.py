"""Predictions as files that open elsewhere: .ply in the frame of training, .glb with y up; depth and normals."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from lit3d import drawing

TO_GLTF = np.diag([1.0, -1.0, -1.0, 1.0])  # camera axes (y down, z forward) -> glTF's (y up, z to the viewer)
DEPTH_IS = "camera z, in the unit of training: the longest side of an object, or metres where data=rgbd was"

Geometry = trimesh.Trimesh | trimesh.PointCloud


def y_up(points: np.ndarray, frame: str) -> np.ndarray:
    """Points (n, 3) of the target frame with y up: viewer axes are turned, object axes are so already."""
    return points @ TO_GLTF[:3, :3].T if frame == "viewer" else points


def depth_colours(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Colours (n, 3) uint8 by the depth that the camera of `pose` (4, 4) sees: the pictures' own."""
    return (drawing.colours_by_depth(points @ pose[:3, :3].T) * 255).astype(np.uint8)


def write_shape(shape: Geometry, stem: Path, pose: np.ndarray, frame: str, obj: bool = False) -> list[Path]:
    """One prediction as `<stem>.ply` (target frame) and `<stem>.glb` (y up); points get the pictures' colours.

    Args:
        shape: in the target frame.
        stem: path without suffix; its folder is made.
        pose: (4, 4) target frame -> camera.
        frame: viewer or object.
        obj: also as `<stem>.obj` (y up).
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(shape, trimesh.PointCloud):
        shape.colors = depth_colours(np.asarray(shape.vertices), pose)
    upright = shape.copy().apply_transform(TO_GLTF if frame == "viewer" else np.eye(4))
    shapes = {".ply": shape, ".glb": upright} | ({".obj": upright} if obj else {})
    files = [stem.with_name(f"{stem.name}{suffix}") for suffix in shapes]
    for path, geometry in zip(files, shapes.values(), strict=True):
        with _aside(path) as aside:
            geometry.export(aside, file_type=path.suffix[1:])
    return files


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name to write under, which is renamed at the end: a reader never sees half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    yield aside
    aside.replace(path)


def write_maps(maps: Mapping[str, np.ndarray], stem: Path) -> tuple[list[Path], dict[str, Any]]:
    """Maps in the pixels of an image as `<stem>.<name>.npy`, (h, w) or (h, w, 3) float32, and as `.png`.

    Depth is a PNG of 16 bits, 0 where there is none, and a coloured one beside it, `<stem>.<name>_coloured.png`;
    normals are a PNG of 8 bits in the usual colours, white where there are none.

    Args:
        maps: name -> (1, h, w) depth or (3, h, w) normals, NaN where there is nothing.
        stem: path without suffix.

    Returns:
        The files, and what their reader must know.
    """
    files: list[Path] = []
    facts: dict[str, dict[str, Any]] = {}
    for name, values in maps.items():
        path = stem.with_name(f"{stem.name}.{name}")
        picture, npy = Image.fromarray(drawing.coloured(values)), path.with_name(f"{path.name}.npy")
        with _aside(npy) as aside, aside.open("wb") as stream:
            np.save(stream, np.squeeze(values.transpose(1, 2, 0), 2) if len(values) == 1 else values.transpose(1, 2, 0))
        pictures, facts[name] = {f"{path.name}.png": picture}, {"axes": "camera: x right, y down, z forward"}
        if len(values) == 1:
            levels, unit = in_sixteen_bits(values[0])
            pictures = {f"{path.name}.png": levels, f"{path.name}_coloured.png": picture}
            facts[name] = {"is": DEPTH_IS, "png_unit": unit, "png_none": 0}
        for file, image in pictures.items():
            drawing.save_image(image, path.with_name(file))
        files += [npy, *(path.with_name(file) for file in pictures)]
    return files, facts


def in_sixteen_bits(depth: np.ndarray) -> tuple[Image.Image, float]:
    """A depth (h, w) as a grey picture of 16 bits and what one level is worth: 0.0001, or ten times as much if needed.

    0 where it is not a number above 0.
    """
    known = np.where(np.isfinite(depth) & (depth > 0), depth, 0)
    unit = next(u for u in (10.0**k for k in range(-4, 40)) if known.max() / u < 2**16 - 1)
    return Image.fromarray(np.round(known / unit).astype(np.uint16)), unit


def file_name(name: str, view: int) -> str:
    """Object and view as a name that every file system takes."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}_view{view:02d}"
