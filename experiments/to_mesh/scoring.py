"""What a representation scores as it is, and what its mesh scores."""

from typing import Any, NamedTuple

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from lit3d.metrics.field import iou_of, volumetric_iou
from lit3d.metrics.point_sets import score_points
from lit3d.structures import Solid, Structure
from lit3d.synthesis.occupancy import inside_function
from lit3d.synthesis.shape import Shape

SCORES = ("fscore_1pct", "fscore_5pct", "precision_1pct", "recall_1pct", "chamfer_l1", "normal_consistency")
Row = dict[str, Any]


class Truth(NamedTuple):
    """A true shape: points of its surface, and places of which it is known whether they are inside.

    Attributes:
        points: (1, m, 3) area-uniform.
        normals: (1, m, 3) outward.
        queries: (1, q, 3) uniform in a cube around it; None where nobody knows.
        occupancy: (1, q) 1 inside, 0 outside.
    """

    points: Float[Tensor, "1 m 3"]
    normals: Float[Tensor, "1 m 3"]
    queries: Float[Tensor, "1 q 3"] | None = None
    occupancy: Float[Tensor, "1 q"] | None = None


def of_points(points: Tensor, normals: Tensor | None, truth: Truth) -> Row:
    """Scores of a set (1, n, 3) against the true points, all of both sides."""
    both = None if normals is None else (normals, truth.normals)
    found = score_points(points.float(), truth.points, percents=(1, 5), normals=both)
    return {name: float(found[name]) for name in SCORES if name in found}


def of_structure(given: Structure, truth: Truth) -> Row:
    """What a representation (a batch of one) scores without a mesh: a set its own points, a solid its own `inside`."""
    if isinstance(given, Solid):
        if not known(truth):
            return {}
        return {"iou": float(iou_of(given.at(truth.queries), given.level[:, None], truth.occupancy))}  # type: ignore[arg-type]
    points, normals = given.surface(truth.points.shape[1] if given.capacity is None else given.capacity)
    return of_points(points, normals, truth)


def of_mesh(shape: trimesh.Trimesh, truth: Truth) -> Row:
    """Scores of a mesh by as many points of it as the truth has; `iou` where it is watertight and the truth known."""
    points, faces = trimesh.sample.sample_surface(shape, truth.points.shape[1], seed=0)
    normals = torch.from_numpy(np.asarray(shape.face_normals)[faces]).float()
    row = of_points(torch.from_numpy(np.asarray(points)).float()[None], normals[None], truth)
    row |= {"watertight": bool(shape.is_watertight), "vertices": len(shape.vertices)}
    if shape.is_watertight and known(truth):
        places = truth.queries[0].numpy()  # type: ignore[index]
        ours = torch.from_numpy(inside_function(as_shape(shape))[1](places) > 0.5)[None]
        row["iou"] = float(volumetric_iou(ours, truth.occupancy > 0.5))  # type: ignore[operator]
    return row


def known(truth: Truth) -> bool:
    """Whether it is known what is inside of the true shape."""
    return truth.occupancy is not None and not bool(truth.occupancy.isnan().any())


def as_shape(mesh: trimesh.Trimesh) -> Shape:
    """A mesh as the functions of synthesis take it."""
    faces = np.asarray(mesh.faces, np.int64)
    return Shape(np.asarray(mesh.vertices, np.float64), faces, np.ones((len(faces), 3), np.float32),
                 np.zeros(len(faces), np.int32))  # fmt: skip
