"""One synthesised object, and the files that it becomes."""

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lit3d.synthesis.occupancy import OccupancyRecord
from lit3d.synthesis.posterior import PosteriorRecord
from lit3d.synthesis.shape import Attribute, Shape
from lit3d.synthesis.sources.items import Item
from lit3d.synthesis.store.archive import npy_bytes, npz_bytes

PNG_LEVEL = 3  # level 6 takes twice the time for 14 % fewer bytes


@dataclass(frozen=True)
class ViewRecord:
    """One picture of an object with the geometry behind it.

    Attributes:
        image: (h, w, 4) uint8, straight alpha.
        depth: (h, w) float32, camera z in units of the object's longest side, 0 = background.
        normal: (h, w, 3) float32, unit normals in camera axes, 0 = background.
        mask: (h, w) bool, exact at pixel centres.
        intrinsics: (3, 3) in pixels.
        object_to_camera: (4, 4), OpenCV camera axes.
    """

    image: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    mask: np.ndarray
    intrinsics: np.ndarray
    object_to_camera: np.ndarray


@dataclass(frozen=True)
class ObjectRecord:
    """One object ready for the disk.

    Attributes:
        points: (m, 3) float32, object frame, independent draws: the first n are a uniform sample of n.
        normals: (m, 3) unit normals, object frame.
        parts: (m,) index into `part_names`.
        extents: (3,) sides of the bounding box, the longest is 1.
        faces: number of triangles.
        dropped_share: share of the surface's area that no outside view can see and `points` leaves out.
        views: the pictures.
        mesh: the normalised mesh, where it is to be kept.
        posterior: what else the object could be, where that is known.
        occupancy: what is inside of it, or why that is not known; None where nobody asked.
    """

    points: np.ndarray
    normals: np.ndarray
    parts: np.ndarray
    part_names: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    extents: np.ndarray
    faces: int
    dropped_share: float
    views: tuple[ViewRecord, ...]
    mesh: Shape | None = None
    posterior: PosteriorRecord | None = None
    occupancy: OccupancyRecord | None = None


def encode(item: Item, record: ObjectRecord) -> dict[str, bytes]:
    """File name -> content of one object, sorted by name; the same bytes for the same record."""
    files = {
        "object.json": json_bytes(_description(item, record)),
        "points.npy": npy_bytes(record.points.astype(np.float32)),
        "normals.npy": npy_bytes(record.normals.astype(np.float16)),
        "parts.npy": npy_bytes(record.parts.astype(np.uint8 if len(record.part_names) <= 256 else np.uint16)),
    }
    for number, view in enumerate(record.views):
        files[f"{number:03d}.png"] = png_bytes(view.image)
        files[f"{number:03d}.npz"] = npz_bytes({"depth": view.depth.astype(np.float32),
                                                "normal": view.normal.astype(np.float16),
                                                "mask": view.mask.astype(bool)})
    if record.mesh is not None:
        files |= _mesh_files(record.mesh)
    if record.posterior is not None:
        files["posterior.npy"] = npy_bytes(record.posterior.points.astype(np.float32))
    if record.occupancy is not None and not record.occupancy.failure:
        files["occupancy.npy"] = npy_bytes(np.packbits(record.occupancy.uniform))
        files["near_occupancy.npy"] = npy_bytes(np.packbits(record.occupancy.near))
    return dict(sorted(files.items()))


def png_bytes(image: np.ndarray) -> bytes:
    """A PNG of (h, w, 3 or 4) uint8, without any metadata."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=PNG_LEVEL)
    return stream.getvalue()


def viewpoint(object_to_camera: np.ndarray) -> tuple[float, float, float]:
    """Where the camera (4, 4) stands: azimuth from +z towards +x and elevation towards +y in degrees, distance."""
    rotation, translation = object_to_camera[:3, :3], object_to_camera[:3, 3]
    x, y, z = -rotation.T @ translation
    distance = math.sqrt(x * x + y * y + z * z)
    return math.degrees(math.atan2(x, z)), math.degrees(math.asin(max(-1.0, min(1.0, y / distance)))), distance


def touches_border(mask: np.ndarray) -> bool:
    """Whether the object reaches the first or last row or column of its mask (h, w): it is probably cut off."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def fill(mask: np.ndarray) -> float:
    """Longer side of the box around the mask (h, w), as a share of the longer image side; 0 for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0
    return float(max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) / max(mask.shape))


def _description(item: Item, record: ObjectRecord) -> dict[str, Any]:
    return {
        "object": item.object, "category": item.category, "split": item.split, "facts": item.facts,
        "attributes": dict(record.attributes), "part_names": list(record.part_names),
        "extents": record.extents, "faces": record.faces, "dropped_share": round(float(record.dropped_share), 6),
        "touches_border": sum(touches_border(view.mask) for view in record.views),
        "cameras": [_camera(view) for view in record.views],
        **({} if record.posterior is None else {"posterior": record.posterior.described()}),
        **({} if record.occupancy is None else {"occupancy": record.occupancy.described()}),
    }


def _camera(view: ViewRecord) -> dict[str, Any]:
    azimuth, elevation, distance = viewpoint(view.object_to_camera)
    return {"intrinsics": view.intrinsics, "object_to_camera": view.object_to_camera,
            "azimuth": round(azimuth, 3), "elevation": round(elevation, 3), "distance": round(distance, 6),
            "fill": round(fill(view.mask), 4)}


def _mesh_files(mesh: Shape) -> dict[str, bytes]:
    arrays = {"vertices": mesh.vertices.astype(np.float32), "faces": mesh.faces.astype(np.int32),
              "colours": mesh.colours.astype(np.float32), "parts": mesh.parts.astype(np.int32)}
    if mesh.uv is not None and mesh.texture_of_face is not None:
        arrays |= {"uv": mesh.uv.astype(np.float32), "texture_of_face": mesh.texture_of_face.astype(np.int32)}
    textures = {f"texture_{number:02d}.png": png_bytes(image) for number, image in enumerate(mesh.textures)}
    return {"mesh.npz": npz_bytes(arrays), **textures}


def plain(value: Any) -> Any:
    """The value in JSON's own types: numpy numbers and arrays unpacked, NaN and infinity as null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """The value as a JSON file, in the order of its keys."""
    return (json.dumps(plain(value), ensure_ascii=False, indent=indent) + "\n").encode()
