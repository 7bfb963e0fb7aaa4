"""The contract of every prediction."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.meshing import points_to_mesh

MESHED = 10_000  # points that a surface without a mesh of its own is meshed from, unless it has fewer

S = TypeVar("S", bound="Structure")  # not typing.Self, which the checker of shapes refuses in methods


@dataclass(frozen=True)
class Structure:
    """The contract of every prediction: named tensors for losses, `surface` for metrics, `to_trimesh` for export."""

    tensors: ClassVar[tuple[str, ...]] = ()  # the names that losses may read
    switches: ClassVar[Mapping[str, str]] = MappingProxyType({})  # what in a config makes a model give one of them
    reads_as: ClassVar[str] = "nothing"  # for sentences: "model 'x' predicts ..."
    has_normals: ClassVar[bool] = False  # whether `surface` gives normals: then true ones are read, too
    exported: ClassVar[bool] = True  # whether the named tensors are all of it, so that a graph can give them
    solid: ClassVar[bool] = False  # whether `to_trimesh` gives closed surfaces: pictures and files show their triangles

    has_blocks: ClassVar[bool] = False  # whether a mesh can be made of sides of voxels

    @property
    def stages(self: S) -> tuple[S, ...]:
        """What a staged network predicted on its way, coarse to fine; the last is the prediction itself."""
        return (self,)

    @property
    def capacity(self) -> int | None:
        """The most points that `surface` can give; None where there is no limit."""
        return None

    def _map(self: S, function: Any) -> S:
        """A function of every tensor, those that stand in tuples, too."""
        changed: dict[str, Any] = {}
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if isinstance(value, Tensor):
                changed[name] = function(value)
            elif isinstance(value, tuple) and value and all(isinstance(v, Tensor) for v in value):
                changed[name] = tuple(map(function, value))
        return replace(self, **changed)

    def to(self: S, *args: Any, **kwargs: Any) -> S:
        """The same prediction on another device or in another precision."""
        return self._map(lambda t: t.to(*args, **kwargs))

    def float(self: S) -> S:
        """The same prediction in float32, as losses and scores want it; a network may compute in bfloat16."""
        return self._map(lambda t: t.float() if t.is_floating_point() else t)

    def detach(self: S) -> S:
        """The same prediction without its graph."""
        return self._map(lambda t: t.detach())

    def select(self: S, i: int) -> S:
        """Sample i as a batch of one."""
        return self._map(lambda t: t[i : i + 1])

    def surface(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n 3"] | None]:
        """N points of the predicted surface and their normals, or None where the representation has none."""
        raise TypeError(f"{type(self).__name__} does not say what its surface is")

    def maps(self, i: int) -> dict[str, Float[Tensor, "c h w"]]:
        """What of sample i lies in the pixels of its image, under the sample's names; NaN where there is nothing."""
        return {}

    def to_trimesh(self, i: int) -> "trimesh.Trimesh | trimesh.PointCloud":
        """Sample i for export and pictures."""
        raise TypeError(f"{type(self).__name__} does not say how it is exported")

    # --- as triangles -------------------------------------------------------------------------------------------------

    def to_mesh(self, i: int, blocks: bool = False) -> tuple[trimesh.Trimesh, str]:
        """Sample i as triangles, wound outwards, and how they were made.

        Args:
            i: which sample.
            blocks: of voxels: their exposed sides in place of a smooth surface.

        Raises:
            UserError: there is no mesh, because the prediction is empty, not finite or encloses nothing; or no voxels.
        """
        if blocks and not self.has_blocks:
            raise UserError(f"to=blocks draws the sides of voxels, but {self.reads_as} are predicted: take to=mesh")
        shape, how = self.meshed(i, blocks)
        if not len(shape.faces) or not np.isfinite(shape.vertices).all():
            raise UserError("there is no mesh: the prediction is empty, not finite, or encloses nothing")
        return shape, how

    def meshed(self, i: int, blocks: bool = False) -> tuple[trimesh.Trimesh, str]:
        """As `to_mesh`, without its checks: what representations answer for themselves.

        What is not solid is a set of points: a surface around those of `surface`.
        """
        if self.solid:
            return self.to_trimesh(i), "as predicted"  # type: ignore[return-value]
        points, normals = self.select(i).detach().surface(MESHED if self.capacity is None else self.capacity)
        found = points_to_mesh(points[0], None if normals is None else normals[0])
        shape = trimesh.Trimesh(found.vertices.double().numpy(), found.faces.numpy(), process=False)
        if found.method == "closing":
            return shape, f"closing of {points.shape[1]:,} points, whose normals cannot be told"
        known = "estimated and turned to the side that is seen" if normals is None else "predicted"
        return shape, f"Poisson surface through {points.shape[1]:,} points, their normals {known}"
