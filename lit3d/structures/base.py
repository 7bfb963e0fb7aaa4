"""The contract of every prediction."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

S = TypeVar("S", bound="Structure")  # not typing.Self, which the checker of shapes refuses in methods


@dataclass(frozen=True)
class Structure:
    """The contract of every prediction: named tensors for losses, `surface` for metrics, `to_trimesh` for export."""

    tensors: ClassVar[tuple[str, ...]] = ()  # the names that losses may read
    reads_as: ClassVar[str] = "nothing"  # for sentences: "model 'x' predicts ..."
    has_normals: ClassVar[bool] = False  # whether `surface` gives normals: then true ones are read, too
    exported: ClassVar[bool] = True  # whether the named tensors are all of it, so that a graph can give them
    solid: ClassVar[bool] = False  # whether `to_trimesh` gives closed surfaces: pictures and files show their triangles

    @property
    def stages(self: S) -> tuple[S, ...]:
        """What a staged network predicted on its way, coarse to fine; the last is the prediction itself."""
        return (self,)

    @property
    def capacity(self) -> int | None:
        """The most points that `surface` can give; None where there is no limit."""
        return None

    def _map(self: S, function: Any) -> S:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: function(v) for k, v in values.items() if isinstance(v, Tensor)})

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
