"""What every mesh source hands to the pipeline: one coloured triangle mesh."""

from dataclasses import dataclass, field

import numpy as np

Attribute = int | float | str


@dataclass(frozen=True)
class Shape:
    """A triangle mesh with colour per face, not yet normalised.

    Attributes:
        vertices: (v, 3) float64, y up. Equal positions are one vertex.
        faces: (f, 3) int64, indices into `vertices`; no zero-area and no doubled faces.
        colours: (f, 3) float32 in [0, 1], the diffuse colour of each face.
        parts: (f,) int32, index into `part_names` of the part that a face belongs to.
        part_names: names of the parts; ("object",) where a source knows none.
        attributes: the known hidden variables of the object (grammar), or facts about the file.
        uv: (f, 3, 2) float32 texture coordinates of each corner (origin bottom left), or None.
        texture_of_face: (f,) int32 index into `textures`, -1 where a face has none; or None.
        textures: RGB images (h, w, 3) uint8, top row first.
        box: lower and upper corner (3,), (3,) that normalise the shape in place of its own bounding box, or None.
        posterior: what else the object could be, for all that its pictures tell; None where nobody knows.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    parts: np.ndarray
    part_names: tuple[str, ...] = ("object",)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    uv: np.ndarray | None = None
    texture_of_face: np.ndarray | None = None
    textures: tuple[np.ndarray, ...] = ()
    box: tuple[np.ndarray, np.ndarray] | None = None
    posterior: "Posterior | None" = None


@dataclass(frozen=True)
class Posterior:
    """All that an object could be without looking otherwise: the values of one attribute that no picture shows.

    Attributes:
        attribute: its name.
        values: what it can be, k of them.
        probabilities: (k,) of the values, given the pictures; they add up to 1.
        shapes: the object with each value; all in one `box`, so that none of them shows by its size or place.
        hidden: index of the value that this object has.
    """

    attribute: str
    values: tuple[str, ...]
    probabilities: tuple[float, ...]
    shapes: tuple[Shape, ...]
    hidden: int


class UnusableMeshError(ValueError):
    """A mesh that cannot be used; the text is the reason that goes into failures.csv."""


def bounds(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (3,), (3,) of the bounding box of the vertices that faces use."""
    used = shape.vertices[np.unique(shape.faces)]
    return used.min(axis=0), used.max(axis=0)


def normalised(vertices: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Vertices in the object frame: box centre at the origin, longest side of the box = 1."""
    return (vertices - (lower + upper) / 2) / float((upper - lower).max())
