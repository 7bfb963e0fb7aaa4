"""Triangle meshes that share one topology."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.ops.mesh import Topology, sample_surface
from lit3d.ops.sampling import random_subset
from lit3d.structures.base import Structure


@dataclass(frozen=True)
class Mesh(Structure):
    """Closed triangle meshes: vertices (b, v, 3) in units of the object's longest side, one topology for all samples.

    Attributes:
        vertices: in the target frame.
        topology: faces, edges, neighbours; counter-clockwise seen from outside.
        before: vertices as they came into the block that moved them here; None where nothing moved.
        coarser: the meshes of the blocks before, coarse to fine; `stages` are these and the mesh itself.
        drawn: what set losses read in place of the vertices, from `with_points`.
    """

    vertices: Float[Tensor, "b v 3"]
    topology: Topology
    before: Float[Tensor, "b v 3"] | None = field(default=None, kw_only=True)
    coarser: tuple["Mesh", ...] = field(default=(), kw_only=True)
    drawn: Float[Tensor, "b n 3"] | None = field(default=None, kw_only=True)

    tensors: ClassVar[tuple[str, ...]] = ("vertices", "points", "before", "topology", "faces", "edges", "face_pairs")
    reads_as: ClassVar[str] = "a mesh"
    has_normals: ClassVar[bool] = True
    solid: ClassVar[bool] = True

    @property
    def points(self) -> Float[Tensor, "b n 3"]:
        """What set losses read: the vertices, or what `with_points` drew."""
        return self.vertices if self.drawn is None else self.drawn

    @property
    def faces(self) -> Int[Tensor, "f 3"]:
        """Corners of each face."""
        return self.topology.faces

    @property
    def edges(self) -> Int[Tensor, "e 2"]:
        """Ends of each edge."""
        return self.topology.edges

    @property
    def face_pairs(self) -> Int[Tensor, "i 4"]:
        """Each interior edge with the third corners of its two faces."""
        return self.topology.face_pairs

    @property
    def stages(self) -> "tuple[Mesh, ...]":
        """The meshes of all blocks, coarse to fine; the last is this one."""
        return (*self.coarser, self)

    def _map(self, function: Any) -> "Mesh":
        mapped = super()._map(function)
        coarser = tuple(mesh._map(function) for mesh in self.coarser)
        device = mapped.vertices.device
        here = self.topology if self.faces.device == device else self.topology.to(device)
        return replace(mapped, topology=here, coarser=coarser)

    def with_points(self, kind: str, count: int, generator: torch.Generator | None = None) -> "Mesh":
        """The same meshes, of all stages, with other `points` for set losses.

        Args:
            kind: vertices: a random subset of `count` where there are more, none drawn twice; surface: `count`
                area-uniform points, through which gradients reach the vertices.
            count: n.
            generator: on the CPU.
        """
        coarser = tuple(mesh.with_points(kind, count, generator) for mesh in self.coarser)
        drawn = None
        if kind == "surface":
            drawn = self.surface(count, generator)[0]
        elif self.vertices.shape[1] > count:
            drawn = random_subset(self.vertices, count, generator)
        return replace(self, coarser=coarser, drawn=drawn)

    def surface(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n 3"]]:
        """N area-uniform points and the unit normals of their faces; without a generator always the same draw.

        A mesh with a vertex that is not finite has no surface: all its points are NaN, which scores count as a failure.
        """
        own = generator or torch.Generator().manual_seed(0)
        points, normals, _ = sample_surface(self.vertices, self.faces, n, own)
        whole = self.vertices.isfinite().flatten(1).all(1)[:, None, None]
        return torch.where(whole, points, torch.nan), normals

    def to_trimesh(self, i: int) -> trimesh.Trimesh:
        """Sample i, wound outwards as a whole: a template that was turned inside out is turned back."""
        vertices = self.vertices[i].detach().cpu().double().numpy()
        mesh = trimesh.Trimesh(vertices, self.faces.cpu().numpy(), process=False)
        if np.isfinite(vertices).all() and mesh.volume < 0:
            mesh.invert()
        return mesh

    def meshed(self, i: int, blocks: bool = False) -> tuple[trimesh.Trimesh, str]:
        """What is predicted already."""
        return self.to_trimesh(i), "the template's triangles, their vertices as predicted"
