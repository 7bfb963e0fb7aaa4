"""Unordered sets of points."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.neighbours import gather_points
from lit3d.ops.sampling import farthest_point_subset
from lit3d.structures.base import Structure


@dataclass(frozen=True)
class PointSet(Structure):
    """An unordered set of points (b, n, d) in units of the object's longest side; d = 3, or 2 in the plane.

    Where a network was asked for several answers, `hypotheses` holds all k of them and `points` is the first.
    """

    points: Float[Tensor, "b n d"]
    hypotheses: Float[Tensor, "b k n d"] | None = field(default=None, kw_only=True)

    tensors: ClassVar[tuple[str, ...]] = ("points",)
    reads_as: ClassVar[str] = "points"

    @property
    def capacity(self) -> int:
        """The size of the set."""
        return self.points.shape[1]

    def surface(self, n: int, generator: torch.Generator | None = None) -> tuple[Float[Tensor, "b n d"], None]:
        """Its own points; for smaller n a farthest-point subset. Never repeated: a larger n is an error.

        Raises:
            UserError: n is larger than the set.
        """
        have = self.points.shape[1]
        if n > have:
            raise UserError(f"a set of {have} points cannot give {n}: points are never repeated, so {have} is the most")
        return (self.points if n == have else gather_points(self.points, farthest_point_subset(self.points, n))), None

    def to_trimesh(self, i: int) -> trimesh.PointCloud:
        """Sample i as a point cloud."""
        return trimesh.PointCloud(self.points[i].detach().cpu().double().numpy())
