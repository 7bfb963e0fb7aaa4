"""Targets that need no dataset: uniform points on surfaces whose longest side is 1."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Table: centre and size of top and legs. The legs are thin: a fifth of the surface, in four places.
BOXES = (
    ((0.0, 0.27, 0.0), (1.0, 0.06, 0.7)),
    *(((x, -0.03, z), (0.05, 0.54, 0.05)) for x in (-0.45, 0.45) for z in (-0.3, 0.3)),
)


def sphere(count: int, generator: torch.Generator) -> Float[Tensor, "count 3"]:
    """Diameter 1."""
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) / 2


def torus(count: int, generator: torch.Generator) -> Float[Tensor, "count 3"]:
    """Outer diameter 1, tube of radius 0.12: a hole that a blob has to open."""
    tube, ring = 0.12, 0.38
    u, v, keep = torch.rand(3, 4 * count, generator=generator)
    around, along = 2 * math.pi * u, 2 * math.pi * v
    radius = ring + tube * along.cos()
    points = torch.stack([radius * around.cos(), tube * along.sin(), radius * around.sin()], dim=1)
    return points[keep < radius / (ring + tube)][:count]  # area is in proportion to the radius


def table(count: int, generator: torch.Generator) -> Float[Tensor, "count 3"]:
    """A top on four thin legs."""
    faces = []
    for centre, size in BOXES:
        for axis in range(3):
            for sign in (-0.5, 0.5):
                across = [k for k in range(3) if k != axis]
                faces.append((centre, size, axis, sign, size[across[0]] * size[across[1]]))
    areas = torch.tensor([face[-1] for face in faces])
    chosen = torch.multinomial(areas, count, replacement=True, generator=generator)
    points = torch.rand(count, 3, generator=generator) - 0.5
    for i, (centre, size, axis, sign, _) in enumerate(faces):
        mine = chosen == i
        points[mine, axis] = sign
        points[mine] = points[mine] * torch.tensor(size) + torch.tensor(centre)
    return points


SHAPES = {"sphere": sphere, "torus": torus, "table": table}


def sample(count: int, seed: int) -> Float[Tensor, "3 count 3"]:
    """One set of each shape."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([shape(count, generator) for shape in SHAPES.values()])
