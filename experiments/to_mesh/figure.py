"""One shape on every road: what it begins with, and the mesh that comes out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from lit3d import drawing, mesh_drawing
from lit3d.synthesis.cameras import Camera

SIZE, COLUMNS, TURN = 190, 5, 65.0  # TURN: degrees away from the camera of the depth maps, which shows what they miss
CLOTH = np.array([0.62, 0.74, 0.88])


def shaded(shape: trimesh.Trimesh, camera: Camera) -> np.ndarray:
    """A mesh from beside the camera; inner sides are red."""
    vertices = placed(np.asarray(shape.vertices), camera)
    colours = np.tile(CLOTH, (len(vertices), 1))
    return mesh_drawing.draw_mesh(vertices, np.asarray(shape.faces), lens(camera), SIZE, colours)


def dotted(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Points from the same place."""
    at = placed(points, camera)
    return drawing.draw_points(at, lens(camera), SIZE, drawing.colours_by_depth(at), ball=0.25 / np.sqrt(len(points)))


def placed(points: np.ndarray, camera: Camera) -> np.ndarray:
    """In the axes of a camera that stands `TURN` degrees beside the given one."""
    pose = camera.object_to_camera
    return drawing.turned(points, TURN, np.array([0.0, 1, 0])) @ pose[:3, :3].T + pose[:3, 3]


def lens(camera: Camera) -> np.ndarray:
    """Intrinsics for the pictures here, an eighth closer than those of the depth maps."""
    scaled = camera.intrinsics.copy()
    scaled[:2] *= SIZE / camera.size[0]
    scaled[[0, 1], [0, 1]] *= 1.25
    return scaled


def sheet(pictures: Mapping[str, np.ndarray], columns: int = COLUMNS) -> Image.Image:
    """Pictures under their names, row after row."""
    names = list(pictures)
    rows = [names[i : i + columns] for i in range(0, len(names), columns)]
    return stacked([drawing.grid([[pictures[n] for n in row]], row) for row in rows])


def stacked(images: Sequence[Image.Image]) -> Image.Image:
    """One below the other on white."""
    whole = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return whole


def save(pictures: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the sheet."""
    drawing.save_image(sheet(pictures), path)
