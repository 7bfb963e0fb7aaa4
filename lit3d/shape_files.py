"""Predicted shapes as files that open elsewhere: .ply in the frame of training, .glb with y up."""

import os
import re
from pathlib import Path

import numpy as np
import trimesh

from lit3d import drawing

TO_GLTF = np.diag([1.0, -1.0, -1.0, 1.0])  # camera axes (y down, z forward) -> glTF's (y up, z to the viewer)

Geometry = trimesh.Trimesh | trimesh.PointCloud


def y_up(points: np.ndarray, frame: str) -> np.ndarray:
    """Points (n, 3) of the target frame with y up: viewer axes are turned, object axes are so already."""
    return points @ TO_GLTF[:3, :3].T if frame == "viewer" else points


def depth_colours(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Colours (n, 3) uint8 by the depth that the camera of `pose` (4, 4) sees: the pictures' own."""
    return (drawing.colours_by_depth(points @ pose[:3, :3].T) * 255).astype(np.uint8)


def write_shape(shape: Geometry, stem: Path, pose: np.ndarray, frame: str) -> list[Path]:
    """One prediction as `<stem>.ply` (target frame) and `<stem>.glb` (y up); points get the pictures' colours.

    Args:
        shape: in the target frame.
        stem: path without suffix; its folder is made.
        pose: (4, 4) target frame -> camera.
        frame: viewer or object.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(shape, trimesh.PointCloud):
        shape.colors = depth_colours(np.asarray(shape.vertices), pose)
    upright = shape.copy().apply_transform(TO_GLTF if frame == "viewer" else np.eye(4))
    files = [stem.with_name(f"{stem.name}.ply"), stem.with_name(f"{stem.name}.glb")]
    for path, geometry in zip(files, (shape, upright), strict=True):
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        geometry.export(aside, file_type=path.suffix[1:])
        aside.replace(path)
    return files


def file_name(name: str, view: int) -> str:
    """Object and view as a name that every file system takes."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}_view{view:02d}"
