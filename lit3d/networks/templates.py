"""The mesh that `mesh_deform` begins with: generated, or from a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.ops import templates
from lit3d.ops.mesh import Topology, with_midpoints

Vector = Sequence[float | int]  # three numbers
Rows = Sequence[Sequence[float | int]]
LEAST_AREA = 1e-12  # of a face, in squared longest sides: below it a face has no normal in float32


class MeshTemplate(nn.Module):
    """Vertices in the target frame and how they hang together, at every level of `levels(count)`.

    Args:
        vertices: (v, 3) in units of the object's longest side.
        faces: (f, 3), counter-clockwise seen from outside.
        name: for sentences.

    Raises:
        UserError: not a closed manifold, wound inconsistently or inwards, faces without area, not finite.
    """

    vertices: Tensor

    def __init__(self, vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], name: str = "the template") -> None:
        super().__init__()
        _check_positions(vertices, name)
        self.topologies = [Topology.of(faces, len(vertices)).check(name)]
        if flat := int((_areas(vertices, faces) < LEAST_AREA).sum()):
            raise UserError(f"{name} has {flat} faces without area: remove them (collapse their shortest edge)")
        if _volume(vertices, faces) <= 0:
            raise UserError(f"{name} is wound inwards, or encloses nothing: turn its faces (trimesh's fix_normals)")
        self.register_buffer("vertices", vertices.float())

    def levels(self, count: int) -> "MeshTemplate":
        """Make `count` topologies ready, each the one before with every face in four."""
        while len(self.topologies) < count:
            self.topologies.append(self.topologies[-1].subdivided())
        return self

    def at_level(self, level: int) -> Float[Tensor, "v 3"]:
        """Vertices after so many subdivisions, none of them moved."""
        vertices = self.vertices[None]
        for topology in self.topologies[:level]:
            vertices = with_midpoints(vertices, topology.edges)
        return vertices[0]

    def _apply(self, fn: Any, recurse: bool = True) -> "MeshTemplate":
        super()._apply(fn, recurse)
        self.topologies = [t.to(self.vertices.device) for t in self.topologies]
        return self


def ellipsoid(
    level: int = 2, semi_axes: Vector = (0.35, 0.3, 0.35), position: Vector = (0.0, 0.0, 0.0)
) -> MeshTemplate:
    """An icosphere of 10 4^level + 2 vertices (level 2: 162), scaled along the axes of the target frame and moved."""
    return MeshTemplate(*templates.ellipsoid(level, semi_axes, position))


def sphere(level: int = 2, radius: float = 0.35, position: Vector = (0.0, 0.0, 0.0)) -> MeshTemplate:
    """An ellipsoid with equal semi-axes."""
    return ellipsoid(level, (radius,) * 3, position)


def torus(
    rings: int = 16, sides: int = 10, radius: float = 0.3, tube: float = 0.12, position: Vector = (0.0, 0.0, 0.0)
) -> MeshTemplate:
    """A torus about the y axis of the target frame: rings x sides vertices."""
    return MeshTemplate(*templates.torus(rings, sides, radius, tube, position))


def from_file(
    file: str | Path, size: float | None = 0.7, vertices: Rows | None = None, faces: Rows | None = None
) -> MeshTemplate:
    """A mesh of any format that trimesh reads; corners at one place become one vertex.

    A checkpoint keeps vertices and faces, and loads where the file is gone.

    Args:
        file: in the axes of the target frame.
        size: the mesh is centred on its box, whose longest side becomes this; null: left as it is.
        vertices: in place of the file's, from a checkpoint.
        faces: as well.

    Raises:
        UserError: no such file, not a mesh, or one that cannot be a template.
    """
    if vertices is None or faces is None:
        mesh = _loaded(Path(file))
        at, corners = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
        if size is not None and np.isfinite(at).all():
            low, high = at.min(0), at.max(0)
            at = (at - (low + high) / 2) * (size / max(float((high - low).max()), 1e-12))
    else:
        at, corners = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    template = MeshTemplate(torch.from_numpy(at).float(), torch.from_numpy(corners), str(file))
    template.rebuild = {"vertices": template.vertices.tolist(), "faces": corners.tolist()}  # type: ignore[assignment]
    return template


def _loaded(path: Path) -> trimesh.Trimesh:
    if not path.is_file():
        raise UserError(f"model.template.file={path}: there is no such file")
    try:
        mesh = trimesh.load(path, force="mesh")
    except Exception as error:  # readers of formats report a damaged file by almost any error
        raise UserError(f"model.template.file={path} cannot be read as a mesh ({type(error).__name__})") from None
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise UserError(f"model.template.file={path} holds no triangles: a closed mesh is expected")
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def _check_positions(vertices: Tensor, name: str) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not vertices.isfinite().all():
        raise UserError(f"{name} needs finite vertices (v, 3), got shape {tuple(vertices.shape)}")


def _areas(vertices: Tensor, faces: Tensor) -> Tensor:
    a, b, c = vertices.double()[faces].unbind(1)
    return torch.linalg.cross(b - a, c - a).norm(dim=1) / 2


def _volume(vertices: Tensor, faces: Tensor) -> float:
    a, b, c = vertices.double()[faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)
