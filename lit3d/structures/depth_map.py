"""A depth map: the visible surface of an object, one depth a pixel."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from lit3d.errors import UserError
from lit3d.ops.camera import to_target
from lit3d.ops.depth import rays, to_points, unproject, valid_depth
from lit3d.ops.depth_normals import normals_from_depth
from lit3d.ops.meshing import GRAZING, depth_to_mesh
from lit3d.ops.neighbours import gather_points
from lit3d.structures.base import Structure

VISIBLE = 1024  # the most pixels that losses read as points


@dataclass(frozen=True)
class DepthMap(Structure):
    """Camera z of every pixel (b, 1, h, w), in the unit of the data: the object's longest side, or metres.

    Depth is the network's own guess of an absolute distance. A pixel is put into space by the camera of the image:
    `intrinsics` say on which ray it lies, `pose` where the target frame is. So a wrong distance is a shift of the whole
    prediction, which set metrics count; but the position on the ray is given, unlike to a network that predicts points.

    `mask` says which pixels are the object: those of the predicted mask where there is one, else the known ones.
    """

    depth: Float[Tensor, "b 1 h w"]
    mask: Bool[Tensor, "b 1 h w"]
    normal: Float[Tensor, "b 3 h w"] | None = field(default=None, kw_only=True)  # unit, camera axes, predicted
    mask_logits: Float[Tensor, "b 1 h w"] | None = field(default=None, kw_only=True)
    intrinsics: Float[Tensor, "b 3 3"] | None = field(default=None, kw_only=True)  # pixels, centres at +0.5
    pose: Float[Tensor, "b 4 4"] | None = field(default=None, kw_only=True)  # target frame -> camera
    image: Float[Tensor, "b 3 h w"] | None = field(default=None, kw_only=True)  # colours of the mesh

    tensors: ClassVar[tuple[str, ...]] = ("depth", "normal", "mask_logits", "visible_points")
    switches: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"normal": "model.normals=true", "mask_logits": "model.mask=true"}
    )
    reads_as: ClassVar[str] = "depth"
    has_normals: ClassVar[bool] = True

    def to(self, *args: Any, **kwargs: Any) -> "DepthMap":
        """On another device or in another precision, which the mask does not have."""
        device = torch.empty((), device=self.depth.device).to(*args, **kwargs).device
        return self._map(lambda t: t.to(*args, **kwargs) if t.is_floating_point() else t.to(device))

    # --- in space -----------------------------------------------------------------------------------------------------

    def _camera(self) -> tuple[Tensor, Tensor]:
        if self.intrinsics is None or self.pose is None:
            raise UserError("a depth map lies in space by the intrinsics and pose of its image, but has none")
        return self.intrinsics, self.pose

    @property
    def visible_points(self) -> Float[Tensor, "b n 3"] | None:
        """N pixels in the target frame, evenly spread over the mask (over all pixels where it is empty).

        N is `VISIBLE`, or all pixels of a smaller picture; masks of fewer pixels repeat some. None without a camera.
        """
        if self.intrinsics is None or self.pose is None:
            return None
        flat = self.mask.flatten(1)
        flat = flat | ~flat.any(1, keepdim=True)
        n = min(VISIBLE, flat.shape[1])
        rank = (torch.arange(n, device=flat.device) + 0.5) / n * flat.sum(1, keepdim=True)
        chosen = torch.searchsorted(flat.cumsum(1).to(rank), rank.contiguous())
        return to_target(gather_points(to_points(unproject(self.depth, self.intrinsics)), chosen), self.pose)

    def surface(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n 3"]]:
        """N points of the visible surface, uniform over its area, and normals: predicted ones where there are any.

        A pixel of depth z on the ray r = (x, y, 1) shows the area z^2 / |n . r| of a surface of normal n, in units of
        the focal lengths: pixels are drawn so often, and each point lies anywhere within its pixel on the plane there.
        All samples share the draws, of a generator of its own unless one is given. A sample without an object pixel, or
        with one whose depth is not a number above 0, has NaN for all points: a failure, which metrics count.
        """
        intrinsics, pose = self._camera()
        own = generator or torch.Generator().manual_seed(0)
        draws = torch.rand(3, n, generator=own, device=own.device).to(self.depth)
        order = torch.randperm(n, generator=own, device=own.device).to(self.depth.device)
        with torch.no_grad(), torch.autocast(self.depth.device.type, enabled=False):
            usable = valid_depth(self.depth, self.mask)
            failed = (self.mask & ~usable).flatten(1).any(1) | ~usable.flatten(1).any(1)
            seen, planes = rays(intrinsics, *self.depth.shape[2:]), geometric_normals(self.depth, self.mask, intrinsics)
            facing = (planes * seen).sum(1, keepdim=True).abs()
            facing = torch.maximum(facing, math.sin(GRAZING) * seen.norm(dim=1, keepdim=True))
            area = torch.where(usable, self.depth.square() / facing, 0.0)
            chosen = systematic(area.flatten(1), draws[0])[:, order]
            depth, ray, plane = (gather_points(to_points(x), chosen) for x in (self.depth, seen, planes))
            moved = ray + (torch.linalg.inv(intrinsics)[:, :, :2] @ (draws[1:] - 0.5)).transpose(1, 2)
            points = to_target(depth * slope(plane, ray, moved) * moved, pose)
            normals = plane if self.normal is None else gather_points(to_points(self.normal), chosen)
            return torch.where(failed[:, None, None], torch.nan, points), normals @ pose[:, :3, :3]

    # --- for export and pictures --------------------------------------------------------------------------------------

    def to_trimesh(self, i: int) -> "trimesh.Trimesh | trimesh.PointCloud":
        """The grid of sample i as triangles that face the camera, cut at depth edges; colours where there is an image.

        Object pixels that no triangle touches are left out; where there is no triangle at all, the pixels are points.
        """
        one = self.select(i).detach()
        intrinsics, pose = one._camera()
        mesh, pixels = depth_to_mesh(one.depth[0, 0], intrinsics[0], one.mask[0, 0])
        if not len(mesh.faces):
            pixels = valid_depth(one.depth, one.mask).flatten().nonzero()[:, 0]
        camera = to_points(unproject(one.depth, intrinsics))[:, pixels]
        points = to_target(camera, pose)[0].cpu().double().numpy()
        colours = None if one.image is None else _bytes(to_points(one.image)[0, pixels])
        if not len(mesh.faces):
            return trimesh.PointCloud(points, colors=colours)
        return trimesh.Trimesh(points, mesh.faces.cpu().numpy(), vertex_colors=colours, process=False)

    def meshed(self, i: int, blocks: bool = False) -> tuple[trimesh.Trimesh, str]:
        """What the camera sees, open behind."""
        shape = self.to_trimesh(i)
        if isinstance(shape, trimesh.PointCloud):
            shape = trimesh.Trimesh()  # single pixels
        return shape, "pixels joined to triangles, cut at depth edges: what the camera sees, open behind"

    def maps(self, i: int) -> dict[str, Float[Tensor, "c h w"]]:
        """Depth and normals of sample i in the picture's pixels, NaN off the mask; normals of the depth if need be."""
        one = self.select(i).detach()
        found = {"depth": one.depth}
        if one.normal is not None:
            found["normal"] = one.normal
        elif one.intrinsics is not None:
            found["normal"] = geometric_normals(one.depth, one.mask, one.intrinsics)
        return {name: torch.where(one.mask, values, torch.nan)[0] for name, values in found.items()}


# --- the maths of it --------------------------------------------------------------------------------------------------


def geometric_normals(
    depth: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b 3 h w"]:
    """Normals of the depth in camera axes; towards the camera where too few neighbours lie on the same surface."""
    normals, found = normals_from_depth(depth, intrinsics, mask)
    return torch.where(found, normals, -functional.normalize(rays(intrinsics, *depth.shape[2:]), dim=1))


def slope(
    normal: Float[Tensor, "b n 3"], ray: Float[Tensor, "b n 3"], moved: Float[Tensor, "b n 3"]
) -> Float[Tensor, "b n 1"]:
    """Depth on the ray `moved` over that on `ray`, both of depth 1, on planes; 1 where they are seen at `GRAZING`."""
    before, after = ((normal * r).sum(-1, keepdim=True) for r in (ray, moved))
    least = math.sin(GRAZING) * ray.norm(dim=-1, keepdim=True)
    safe = (torch.minimum(before.abs(), after.abs()) > least) & (before * after > 0)
    return torch.where(safe, before / torch.where(safe, after, 1.0), 1.0)


def systematic(weight: Float[Tensor, "b p"], uniform: Float[Tensor, " n"]) -> Int[Tensor, "b n"]:
    """N indices of each row drawn in proportion to non-negative weights, one in each n-th of their sum, in order.

    Systematic strata (Cochran, Sampling Techniques): a pixel is drawn as often as its weight says, give or take one.
    """
    n = len(uniform)
    total = weight.double().cumsum(1)
    at = (torch.arange(n, device=weight.device) + uniform.double()) / n * (1 - 1e-9)
    return torch.searchsorted(total, at * total[:, -1:], right=True).clamp_max(weight.shape[1] - 1)


def _bytes(colours: Float[Tensor, "n 3"]) -> np.ndarray:
    return (colours.clamp(0, 1) * 255 + 0.5).cpu().numpy().astype(np.uint8)
