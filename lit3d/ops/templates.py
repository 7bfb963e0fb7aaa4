"""Generated closed meshes that a network or a fit deforms. Counter-clockwise faces seen from outside; y is up."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.mesh.topology import Topology, with_midpoints

GOLDEN = (1 + math.sqrt(5)) / 2


class Template(NamedTuple):
    """A mesh before it is deformed."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]


def icosphere(level: int, radius: float = 1.0, centre: Sequence[float | int] = (0.0, 0.0, 0.0)) -> Template:
    """An icosahedron whose faces are divided in four `level` times and drawn to the sphere: 10 4^level + 2 vertices.

    Level 2 has 162 vertices, 3 has 642, 4 has 2,562. `Topology.subdivided` of one level is that of the next.
    """
    return ellipsoid(level, (radius,) * 3, centre)


def ellipsoid(
    level: int, semi_axes: Sequence[float | int], centre: Sequence[float | int] = (0.0, 0.0, 0.0)
) -> Template:
    """An `icosphere`, scaled along x, y, z and moved.

    Raises:
        UserError: level is not 0 to 8; an axis is not positive and finite; not three axes and a position of three.
    """
    if not 0 <= level <= 8:
        raise UserError(f"the level of a sphere must be 0 (12 vertices) to 8 (655,362), but is {level}")
    if len(semi_axes) != 3 or len(centre) != 3 or not all(0 < a < math.inf for a in semi_axes):
        raise UserError(
            "an ellipsoid needs three positive semi-axes and a centre of three numbers, "
            f"but got {list(semi_axes)} and {list(centre)}"
        )
    vertices, topology = _icosahedron()
    for _ in range(level):
        vertices = with_midpoints(vertices[None], topology.edges)[0]
        vertices, topology = vertices / vertices.norm(dim=1, keepdim=True), topology.subdivided()
    axes, middle = (torch.tensor(list(map(float, t)), dtype=torch.float64) for t in (semi_axes, centre))
    return Template((vertices * axes + middle).float(), topology.faces)


def _icosahedron() -> tuple[Tensor, Topology]:
    # Corners of three golden rectangles; faces are the triples at mutual distance 2, wound outwards.
    at = np.array([p for s in (-1, 1) for t in (-GOLDEN, GOLDEN) for p in ((0, s, t), (s, t, 0), (t, 0, s))], float)
    near = np.isclose(np.linalg.norm(at[:, None] - at[None], axis=2), 2)
    triples = [(i, j, k) for i, j, k in combinations(range(12), 3) if near[i, j] and near[j, k] and near[i, k]]
    faces = [(i, j, k) if np.linalg.det(at[[i, j, k]]) > 0 else (i, k, j) for i, j, k in triples]
    return torch.from_numpy(at / np.linalg.norm(at[0])), Topology.of(faces)


def torus(
    rings: int = 48,
    sides: int = 24,
    radius: float = 0.35,
    tube: float = 0.15,
    centre: Sequence[float | int] = (0.0, 0.0, 0.0),
) -> Template:
    """A torus about the y axis: `rings` circles of `sides` vertices and radius `tube` around a circle of `radius`.

    Raises:
        UserError: fewer than 3 rings or sides, or not 0 < tube < radius.
    """
    if min(rings, sides) < 3 or not 0 < tube < radius < math.inf:
        raise UserError(
            "a torus needs at least 3 rings and 3 sides and 0 < tube < radius, "
            f"but got {rings}, {sides}, tube {tube} and radius {radius}"
        )
    i, j = (t.flatten() for t in torch.meshgrid(torch.arange(rings), torch.arange(sides), indexing="ij"))
    around, about = (2 * math.pi * k.double() / n for k, n in ((i, rings), (j, sides)))
    ring = radius + tube * about.cos()
    vertices = torch.stack([ring * around.cos(), tube * about.sin(), ring * around.sin()], dim=1)
    a, b, c, d = ((i + di) % rings * sides + (j + dj) % sides for di, dj in ((0, 0), (0, 1), (1, 1), (1, 0)))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    return Template((vertices + torch.tensor(list(map(float, centre)), dtype=torch.float64)).float(), faces)
