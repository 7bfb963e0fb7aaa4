"""How the vertices of a mesh hang together: computed once for a template, shared by every sample and step.

Positions (b, v, 3) belong to a batch; all that does not depend on them stands here.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import embedding_bag

from lit3d.errors import UserError


@dataclass(frozen=True, eq=False)
class Topology:
    """Faces and what follows from them; make one with `Topology.of`.

    Attributes:
        vertices: v, how many vertices.
        faces: (f, 3) int64, counter-clockwise seen from outside.
        edges: (e, 2) unique, smaller index first, in ascending order.
        face_edges: (f, 3) the edge opposite to each corner.
        face_pairs: (i, 4) of each edge with two faces (a, b, c, d): a -> b runs in the first face, which has the third
            corner c; d is the third corner of the second. Edges of three or more faces have no pair.
        pair_faces: (i, 2) these two faces.
        neighbours: (2e,) the ends of the edges at vertex 0, at vertex 1 ...; those of p begin at `offsets[p]`.
        offsets: (v,).
        degree: (v,) how many neighbours.
        boundary: (k,) edges of one face.
        overfull: how many edges have three faces or more.
        against: how many pairs of faces are wound against each other.
    """

    vertices: int
    faces: Int[Tensor, "f 3"]
    edges: Int[Tensor, "e 2"]
    face_edges: Int[Tensor, "f 3"]
    face_pairs: Int[Tensor, "i 4"]
    pair_faces: Int[Tensor, "i 2"]
    neighbours: Int[Tensor, " n"]
    offsets: Int[Tensor, " v"]
    degree: Int[Tensor, " v"]
    boundary: Int[Tensor, " k"]
    overfull: int
    against: int

    @classmethod
    def of(cls, faces: Any, vertices: int | None = None) -> "Topology":
        """From faces (f, 3), array or tensor, over `vertices` vertices (None: up to the largest index).

        Raises:
            UserError: no faces; an index that is no vertex; a face with twice the same vertex; twice the same face.
        """
        corners = np.asarray(faces.cpu() if isinstance(faces, Tensor) else faces, dtype=np.int64)
        _check_faces(corners, vertices)
        count = int(corners.max()) + 1 if vertices is None else vertices
        # Edge k of a face runs opposite to its corner k, along the winding.
        start, end = corners[:, [1, 2, 0]].reshape(-1), corners[:, [2, 0, 1]].reshape(-1)
        edges, edge_of = np.unique(np.sort(np.stack([start, end], 1), 1), axis=0, return_inverse=True)
        edge_of = edge_of.reshape(-1)
        uses = np.bincount(edge_of, minlength=len(edges))
        order = np.argsort(edge_of, kind="stable")  # half-edges, those of one edge together
        pairs = order[np.repeat(uses == 2, uses)].reshape(-1, 2)
        first, second = pairs[:, 0], pairs[:, 1]
        third = corners.reshape(-1)  # half-edge 3 f + k lies opposite to corner k of face f
        ends = np.concatenate([edges, edges[:, ::-1]])
        ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
        degree = np.bincount(ends[:, 0], minlength=count)
        tensor = torch.from_numpy
        return cls(
            vertices=count, faces=tensor(corners.copy()), edges=tensor(edges),
            face_edges=tensor(edge_of.reshape(-1, 3)),
            face_pairs=tensor(np.stack([start[first], end[first], third[first], third[second]], 1)),
            pair_faces=tensor(pairs // 3), neighbours=tensor(ends[:, 1].copy()),
            offsets=tensor(np.cumsum(degree) - degree), degree=tensor(degree),
            boundary=tensor(np.flatnonzero(uses == 1)), overfull=int((uses > 2).sum()),
            against=int((start[first] == start[second]).sum()),
        )  # fmt: skip

    @cached_property
    def euler(self) -> int:
        """Euler characteristic: used vertices - edges + faces; 2 for each closed part like a sphere, 0 like a torus."""
        return int((self.degree > 0).sum()) - len(self.edges) + len(self.faces)

    @cached_property
    def parts(self) -> int:
        """How many connected parts; vertices without a face are none."""
        return _components(self.edges.cpu().numpy(), self.vertices) - int((self.degree == 0).sum())

    @cached_property
    def pinched(self) -> int:
        """How many vertices hold several fans of faces that meet in this one point only."""
        corners = self.faces.cpu().numpy()
        a, b, *_ = self.face_pairs.cpu().numpy().T
        first, second = self.pair_faces.cpu().numpy().T

        def corner(face: np.ndarray, vertex: np.ndarray) -> np.ndarray:
            return 3 * face + (corners[face] == vertex[:, None]).argmax(1)

        # The corners of both faces of a pair at either end of its edge belong to one fan.
        fans = [np.stack([corner(first, end), corner(second, end)], 1) for end in (a, b)]
        return _components(np.concatenate(fans), corners.size) - int((self.degree > 0).sum())

    @property
    def closed(self) -> bool:
        """Every edge has two faces."""
        return len(self.boundary) == 0 and self.overfull == 0

    def check(self, name: str = "the template") -> "Topology":
        """Itself, where it is closed, a manifold and consistently wound, so that inside and outside exist.

        Raises:
            UserError: what is wrong, how often, and what to do.
        """
        loose = int((self.degree == 0).sum())
        faults = {
            "edges with only one face (holes)": len(self.boundary), "edges with more than two faces": self.overfull,
            "pairs of faces wound against each other": self.against, "vertices without a face": loose,
            "vertices where surfaces touch in a point": self.pinched if self.closed else 0,
        }  # fmt: skip
        found = ", ".join(f"{count} {what}" for what, count in faults.items() if count)
        if found:
            raise UserError(
                f"{name} must be a closed manifold with consistent winding, but has {found}: repair it (for example "
                "trimesh's merge_vertices, fill_holes, fix_normals) or take a generated template"
            )
        return self

    def to(self, device: torch.device | str) -> "Topology":
        """The same on another device."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return Topology(**values)

    def subdivided(self) -> "Topology":
        """Each face in four, by the midpoints of its edges: vertex v + i is the midpoint of edge i.

        Graph unpooling of Wang et al. 2018 (Pixel2Mesh, edge-based); `with_midpoints` carries positions
        and features. Winding and Euler characteristic stay.
        """
        (a, b, c), (x, y, z) = self.faces.unbind(1), (self.face_edges + self.vertices).unbind(1)
        new = [(a, z, y), (b, x, z), (c, y, x), (x, y, z)]
        faces = torch.stack([torch.stack(corners, 1) for corners in new], 1).flatten(0, 1)
        return Topology.of(faces, self.vertices + len(self.edges)).to(self.faces.device)

    def neighbour_sum(self, values: Float[Tensor, "b v c"]) -> Float[Tensor, "b v c"]:
        """The sum of `values` over the neighbours of each vertex: sparse, memory linear in vertices."""
        return _NeighbourSum.apply(values, self.neighbours, self.offsets)

    def neighbour_mean(self, values: Float[Tensor, "b v c"]) -> Float[Tensor, "b v c"]:
        """The mean of `values` over the neighbours of each vertex; 0 where there are none."""
        return self.neighbour_sum(values) / self.degree.clamp_min(1).to(values.dtype)[:, None]


def with_midpoints(values: Float[Tensor, "b v c"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, "b w c"]:
    """`values` (positions, features) of the vertices after `Topology.subdivided`: midpoints are means; w = v + e."""
    ends = values.index_select(1, edges.flatten()).unflatten(1, (-1, 2))
    return torch.cat([values, ends.mean(2)], dim=1)


class _NeighbourSum(torch.autograd.Function):
    """The adjacency matrix is symmetric: its product with the gradient is the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, neighbours: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(neighbours, offsets)
        return _gathered(values, neighbours, offsets)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _NeighbourSum.apply(grad, *ctx.saved_tensors), None, None


def _gathered(values: Tensor, neighbours: Tensor, offsets: Tensor) -> Tensor:
    """One call for the whole batch: 5 x faster than index_add (measured at 16 x 2,562 x 128 on two cores)."""
    sample = torch.arange(values.shape[0], device=values.device)[:, None]
    index, start = neighbours + sample * values.shape[1], offsets + sample * len(neighbours)
    return embedding_bag(index.flatten(), values.flatten(0, 1), start.flatten(), mode="sum").view_as(values)


def _components(links: np.ndarray, count: int) -> int:
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(count, count))
    return int(connected_components(graph, directed=False)[0])


def _check_faces(faces: np.ndarray, vertices: int | None) -> None:
    if faces.ndim != 2 or faces.shape[1:] != (3,) or len(faces) == 0:
        raise UserError(f"expected triangles of shape (faces, 3) with at least one face, but got shape {faces.shape}")
    if faces.min() < 0 or (vertices is not None and faces.max() >= vertices):
        raise UserError(
            f"faces name vertices {faces.min()} to {faces.max()}, but there are {vertices} (0 is the first)"
        )
    ordered = np.sort(faces, axis=1)
    if twice := int((ordered[:, 1:] == ordered[:, :-1]).any(1).sum()):
        raise UserError(f"{twice} faces have the same vertex twice: remove these degenerate faces first")
    if double := len(faces) - len(np.unique(ordered, axis=0)):
        raise UserError(f"{double} faces are there twice: remove the duplicates first")
