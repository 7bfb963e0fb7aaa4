"""Coordinates and triangles as short text for a page: 16-bit integers in base64, each array once."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

SCALE = 8192  # steps in a unit: 0.0001, up to 4 units from the origin
SIDE = 128  # of an input picture, at most


class Pool:
    """Arrays of a page, each kept once: the triangles of a template serve all its predictions."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.places: dict[bytes, int] = {}

    def add(self, array: np.ndarray) -> int:
        """The place of an array of 16-bit integers."""
        data = array.tobytes()
        if data not in self.places:
            self.places[data] = len(self.texts)
            self.texts.append(base64.b64encode(data).decode("ascii"))
        return self.places[data]

    def points(self, points: np.ndarray) -> int:
        """The place of coordinates (n, d); points that are not finite are left out."""
        finite = points[np.isfinite(points).all(1)]
        return self.add(np.clip(np.round(finite * SCALE), -32767, 32767).astype("<i2"))

    def shape(self, vertices: np.ndarray, faces: np.ndarray) -> list[int]:
        """The places of a mesh's vertices and triangles; of a point set's points alone."""
        if not len(faces) or not np.isfinite(vertices).all() or len(vertices) > 65535:
            return [self.points(vertices)]
        return [self.points(vertices), self.add(faces.astype("<u2"))]


def floats(values: np.ndarray) -> str:
    """Numbers as float32 in base64; NaN stays NaN."""
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode("ascii")


def picture(image: np.ndarray) -> str:
    """An image (h, w, 3) uint8 as a PNG that a page can hold."""
    shown: Any = Image.fromarray(image)
    shown.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    shown.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
