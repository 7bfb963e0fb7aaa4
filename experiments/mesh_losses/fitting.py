"""Gradient descent of a sphere's vertices to a target: no network. Coarse to fine, as Pixel2Mesh deforms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.mesh_losses.targets import Target
from lit3d import losses
from lit3d.metrics.mesh_quality import score_mesh
from lit3d.metrics.point_sets import chamfer_l1, distances, fscore
from lit3d.ops.mesh import Topology, sample_surface, with_midpoints
from lit3d.ops.templates import icosphere

TRUTH = 20_000  # points of the truth that a fit knows, with normals
TERMS: dict[str, Callable[..., Tensor]] = {
    "uniform_edges": lambda x, t, truth: losses.uniform_edges(x, t.edges),
    "equal_edges": lambda x, t, truth: losses.equal_edges(x, t.edges),
    "uniform_smoothness": lambda x, t, truth: losses.uniform_smoothness(x, t.edges),
    "cotangent_smoothness": lambda x, t, truth: losses.cotangent_smoothness(x, t.faces),
    "dihedral_smoothness": lambda x, t, truth: losses.dihedral_smoothness(x, t.face_pairs),
    "normal_consistency": lambda x, t, truth: losses.normal_consistency(x, t.face_pairs),
    "mesh_normal": lambda x, t, truth: losses.mesh_normal(x, t.edges, *truth),
}


@dataclass(frozen=True)
class Recipe:
    """How a sphere is fitted.

    Attributes:
        weights: of the terms of `TERMS`; the set distance has weight 1.
        samples: points of the mesh's surface that the set distance compares; 0: the vertices themselves.
        levels: of the sphere, coarse to fine, each continuing the one before.
        steps: of Adam at each level.
        rate: its learning rate at the first level; it halves from level to level and falls to a tenth within one.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    samples: int = 0
    levels: Sequence[int] = (4,)
    steps: Sequence[int] = (400,)
    rate: float = 5e-3


def fit(target: Target, recipe: Recipe, seed: int = 0) -> tuple[Float[Tensor, "v 3"], Topology]:
    """The fitted vertices and their topology."""
    generator = torch.Generator().manual_seed(seed)
    truth, normals = target.sample(TRUTH, seed)
    template = icosphere(recipe.levels[0], 0.4)
    vertices, topology = template.vertices[None].clone(), Topology.of(template.faces)
    for i, (level, steps) in enumerate(zip(recipe.levels, recipe.steps, strict=True)):
        for _ in range(level - recipe.levels[i - 1] if i else 0):
            vertices, topology = with_midpoints(vertices, topology.edges), topology.subdivided()
        vertices = _descend(vertices, topology, (truth, normals), recipe, steps, recipe.rate / 2**i, generator)
    return vertices[0], topology


def _descend(
    vertices: Tensor, topology: Topology, truth: tuple[Tensor, Tensor], recipe: Recipe, steps: int, rate: float,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    x = vertices.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, rate / 10)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(x, topology, truth, recipe, generator).sum().backward()
        optimizer.step()
        schedule.step()
    return x.detach()


def objective(
    x: Float[Tensor, "1 v 3"], topology: Topology, truth: tuple[Tensor, Tensor], recipe: Recipe,
    generator: torch.Generator,
) -> Float[Tensor, " 1"]:  # fmt: skip
    """Set distance to as many random points of the truth as the mesh gives, plus the weighted terms."""
    points = sample_surface(x, topology.faces, recipe.samples, generator)[0] if recipe.samples else x
    some = torch.randint(truth[0].shape[1], (points.shape[1],), generator=generator)
    total = losses.cd(points, truth[0][:, some])
    for name, weight in recipe.weights.items():
        total = total + weight * TERMS[name](x, topology, truth)
    return total


def score(vertices: Float[Tensor, "v 3"], topology: Topology, target: Target, samples: int = 100_000) -> dict:
    """Chamfer and F-score over `samples` points of each surface, and the quality of the mesh."""
    truth, normals = target.sample(samples, 1_000_003)
    points = sample_surface(vertices[None], topology.faces, samples, torch.Generator().manual_seed(7))[0]
    d = distances(points, truth)
    scores = {"chamfer_l1": chamfer_l1(d), "fscore_1pct": fscore(d, 0.01), "fscore_2pct": fscore(d, 0.02)}
    scores |= score_mesh(vertices[None], topology, truth, normals, samples)
    return {name: float(value) for name, value in scores.items()}
