"""Solids that are known by a function of place: larger than a level inside."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lit3d.ops.grids import trilinear
from lit3d.ops.isosurface import Triangles, shapes_at_once
from lit3d.ops.mesh import sample_surface
from lit3d.ops.meshing import field_to_mesh, voxels_to_mesh
from lit3d.structures.base import Structure

F = TypeVar("F", bound="Solid")
AT_ONCE = 2**18  # places that a decoder is asked at in one call without gradients
SHAPES = 8  # that are extracted together, where their grids fit into memory


@dataclass(frozen=True)
class Solid(Structure):
    """What a representation by a function of place has in common; `inside` is where `at` is above the level.

    Attributes:
        level: (b,) the value on the surface.
        half: half the side of the cube [-half, half]^3 of the target frame that the surface is looked for in.
        queries: (b, q, 3) places whose values losses read; None where nobody asks.
        meshes: the extracted surfaces on the CPU, once they are known; copies on other devices share them.
    """

    level: Float[Tensor, " b"]
    half: float
    queries: Float[Tensor, "b q 3"] | None = field(default=None, kw_only=True)
    meshes: list[Triangles] = field(default_factory=list, kw_only=True, repr=False, compare=False)

    has_normals: ClassVar[bool] = True
    solid: ClassVar[bool] = True

    def at(self, places: Float[Tensor, "b q 3"]) -> Float[Tensor, "b q"]:
        """Values at places of the target frame, float32, larger inside."""
        raise NotImplementedError

    def inside(self, places: Float[Tensor, "b q 3"]) -> Bool[Tensor, "b q"]:
        """Whether places are inside; where the value is not a number they are not."""
        return self.at(places) > self.level.to(places.device)[:, None]

    @property
    def logits(self) -> Float[Tensor, "b q"] | None:
        """Values at the batch's queries, with their graph; None where there are no queries."""
        return None if self.queries is None else self.at(self.queries)

    def extract(self) -> list[Triangles]:
        """A surface of each sample, wound outwards; empty where there is none, or values that are not finite."""
        raise NotImplementedError

    def extracted(self) -> list[Triangles]:
        """The surfaces, found where they are first asked for."""
        if not self.meshes:
            with torch.inference_mode(False), torch.no_grad():
                self.meshes.extend(self.extract())
        return self.meshes

    def select(self: F, i: int) -> F:
        """Sample i as a batch of one."""
        return replace(super().select(i), meshes=self.meshes[i : i + 1])

    def surface(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n 3"]]:
        """N area-uniform points of the extracted surface and their normals; without a generator always the same draw.

        Where there is no surface all points are NaN, which scores count as a failure. No gradient reaches the network.
        """
        own = generator or torch.Generator().manual_seed(0)
        nothing = torch.full((n, 3), torch.nan), torch.zeros(n, 3)
        found = [
            tuple(x[0] for x in sample_surface(mesh.vertices[None], mesh.faces, n, own)[:2]) if len(mesh.faces)
            else nothing for mesh in self.extracted()
        ]  # fmt: skip
        points, normals = (torch.stack(part).to(self.level.device) for part in zip(*found, strict=True))
        return points, normals

    def to_trimesh(self, i: int) -> trimesh.Trimesh:
        """The extracted surface of sample i; without vertices where there is none."""
        mesh = self.extracted()[i]
        return trimesh.Trimesh(mesh.vertices.double().numpy(), mesh.faces.numpy(), process=False)


@dataclass(frozen=True)
class OccupancyField(Solid):
    """A decoder and what it is conditioned on: `at(q)` is a logit of being inside, or a signed distance.

    The decoder stays on its device; places go there and values come back.

    Attributes:
        known: (b, ...) tensors: what the decoder knows of each image.
        decoder: (places (b, q, 3), *known) -> values (b, q).
        resolution: cells a side of the grid whose surface is extracted: multiresolution from 32 cells on.
        refine: Newton steps that move extracted vertices along the field's gradient.
        fixed: whether gradients pass the decoder by: `detach` was called.
        asked: how often each extraction asked the decoder, once it has.
    """

    known: tuple[Float[Tensor, "b ..."], ...]
    decoder: nn.Module
    resolution: int = field(default=64, kw_only=True)
    refine: int = field(default=0, kw_only=True)
    fixed: bool = field(default=False, kw_only=True)
    asked: list[int] = field(default_factory=list, kw_only=True, repr=False, compare=False)

    tensors: ClassVar[tuple[str, ...]] = ("logits", "distance")
    exported: ClassVar[bool] = False
    reads_as: ClassVar[str] = "a field of logits, or with model.field=sdf of signed distances"

    @property
    def distance(self) -> Float[Tensor, "b q"] | None:
        """The same values as `logits`, by the name that losses of signed distances read."""
        return self.logits

    def at(self, places: Float[Tensor, "b q 3"]) -> Float[Tensor, "b q"]:
        """What the decoder says; without gradients in parts that fit into memory."""
        weights = next(self.decoder.parameters())
        known, asked = [k.to(weights.device) for k in self.known], places.to(weights.device)
        if not torch.is_inference_mode_enabled():
            known = [k.clone() if k.is_inference() else k for k in known]
        decode = self._fixed if self.fixed else self.decoder
        if torch.is_grad_enabled():
            return decode(asked, *known).float().to(places.device)
        parts = asked.split(max(1, AT_ONCE // max(1, len(asked))), dim=1)
        return torch.cat([decode(part, *known).float() for part in parts], dim=1).to(places.device)

    def _fixed(self, places: Tensor, *known: Tensor) -> Tensor:
        state = {name: p.detach() for name, p in self.decoder.named_parameters()}
        return torch.func.functional_call(self.decoder, state, (places, *known))

    def detach(self) -> "OccupancyField":
        """The same prediction without its graph: gradients reach places alone."""
        return replace(super().detach(), fixed=True)

    def select(self, i: int) -> "OccupancyField":
        """Sample i as a batch of one."""
        return replace(super().select(i), asked=self.asked[i : i + 1])

    def extract(self) -> list[Triangles]:
        """By MISE, a few shapes together; the decoder is asked as in evaluation."""
        training = self.decoder.training
        self.decoder.eval()
        try:
            count = max(1, min(SHAPES, shapes_at_once(self.resolution)))
            found = [self._extract(start, count) for start in range(0, len(self.level), count)]
        finally:
            self.decoder.train(training)
        return [mesh for meshes in found for mesh in meshes]

    def _extract(self, start: int, count: int) -> list[Triangles]:
        part = replace(self.detach(), level=self.level[start : start + count], queries=None,
                       known=tuple(k[start : start + count].clone() for k in self.known))  # fmt: skip
        found = field_to_mesh(
            part.at, len(part.level), self.resolution, half=self.half, level=float(part.level[0]), strict=False,
            refine=self.refine, device=next(self.decoder.parameters()).device,
        )  # fmt: skip
        self.asked.extend(found.queries.tolist())
        return found.meshes

    def meshed(self, i: int, blocks: bool = False) -> tuple[trimesh.Trimesh, str]:
        """The level surface of the field."""
        how = f"level surface of the field by multiresolution marching cubes, {self.resolution} cells a side"
        return self.to_trimesh(i), how


@dataclass(frozen=True)
class VoxelGrid(Solid):
    """Logits on a grid of r^3 voxels, x first; between their centres the field is interpolated.

    Attributes:
        grid: (b, r, r, r); voxel i covers [-half + i s, -half + (i + 1) s].
    """

    grid: Float[Tensor, "b r r r"]

    tensors: ClassVar[tuple[str, ...]] = ("logits", "grid")
    reads_as: ClassVar[str] = "voxels"
    has_blocks: ClassVar[bool] = True

    def at(self, places: Float[Tensor, "b q 3"]) -> Float[Tensor, "b q"]:
        """Trilinear interpolation between the voxels' centres."""
        return trilinear(self.grid.float(), places.to(self.grid.device), self.half).to(places.device)

    def extract(self) -> list[Triangles]:
        """By marching cubes, closed where the solid reaches the border of the grid."""
        return [self._extract(i) for i in range(len(self.grid))]

    def _extract(self, i: int) -> Triangles:
        values = self.grid[i].detach().float().cpu()
        if not values.isfinite().all():
            return Triangles(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
        return voxels_to_mesh(values, half=self.half, level=float(self.level[i]))

    def meshed(self, i: int, blocks: bool = False) -> tuple[trimesh.Trimesh, str]:
        """Marching cubes between the voxels' centres, or with `blocks` the exposed sides of the voxels."""
        count = self.grid.shape[-1]
        if not blocks:
            return self.to_trimesh(i), f"marching cubes between the centres of {count} voxels a side"
        values = self.grid[i].detach().float().cpu()
        found = voxels_to_mesh(values, half=self.half, level=float(self.level[i]), blocks=True)
        shape = trimesh.Trimesh(found.vertices.double().numpy(), found.faces.numpy(), process=False)
        return shape, f"exposed sides of {count} voxels a side"


def logit(probability: float) -> float:
    """Log(p / (1 - p))."""
    return math.log(probability / (1 - probability))
