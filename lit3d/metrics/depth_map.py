"""Scores a predicted depth map: depth, normals, outlines, and its visible surface as a set of points."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d.metrics.depth import depth_failure, depth_scores, median_ratio, pixels
from lit3d.metrics.depth_shape import (
    angles,
    boundary_f1,
    flying_pixels,
    mask_iou,
    mean_angle,
    normal_scores,
    visible_chamfer_l1,
)
from lit3d.metrics.point_sets import Distances
from lit3d.metrics.predictions import SetMetrics
from lit3d.ops.camera import to_camera
from lit3d.ops.depth import JUMP, edge_band
from lit3d.ops.depth_normals import normals_from_depth

Scores = dict[str, Float[Tensor, " b"]]
ALIGNED = ("abs_rel", "depth_mae", "rmse", "delta1")  # what is scored after an alignment, too


def accuracy_l1(d: Distances) -> Float[Tensor, " b"]:
    """Mean Euclidean distance from a predicted point to the nearest true one."""
    return d.accuracy.mean(1)


def completeness_l1(d: Distances) -> Float[Tensor, " b"]:
    """Mean Euclidean distance from a true point to the nearest predicted one; a depth map lacks the hidden side."""
    return d.completeness.mean(1)


class DepthMetrics(SetMetrics):
    """Set scores of the visible surface against the whole object, and scores of the depth map itself.

    A prediction has `depth` and, where it has them, `normal` and `mask_logits`; a batch has `depth`, `mask`,
    `intrinsics` and, if it can, `normal` (else normals of the true depth) and `points` with `pose` (else no set
    scores). All scores of depth and normals run over the *true* mask. `failure` also counts predictions that are not
    finite there and samples without any true depth; these get the worst score of each name.

    Args:
        jump: step from pixel to pixel, as a share of the depth, that is an edge.
        radius: from which on a pixel is flying, in the scene's unit.
        options: of `SetMetrics`.
    """

    needs: ClassVar[tuple[str, ...]] = ("depth", "mask", "normal")

    def __init__(self, *, jump: float = JUMP, radius: float = 0.05, **options: Any) -> None:
        own = {"accuracy_l1": accuracy_l1, "completeness_l1": completeness_l1}
        options["extra"] = own | dict(options.get("extra") or {})
        options["extra_worst"] = dict.fromkeys(own, math.sqrt(3)) | dict(options.get("extra_worst") or {})
        super().__init__(**options)
        self.jump, self.radius = jump, radius

    def __call__(self, prediction: Any, batch: Mapping[str, Any], final: bool) -> Scores:
        """Scores (b,) by name; `final` in the test, not in validation, which leaves out what takes long."""
        truth, mask = batch["depth"], batch["mask"]
        with torch.no_grad(), torch.autocast(truth.device.type, enabled=False):
            found = depth_scores(prediction.depth, truth, mask)
            for how in ("median", "scale", "scale_shift") if final else ("median",):
                found |= depth_scores(prediction.depth, truth, mask, how, ALIGNED)
            failed = depth_failure(prediction.depth, truth, mask)
            found |= self.directions(prediction, batch, failed)
            logits = getattr(prediction, "mask_logits", None)
            shown = mask if logits is None else logits > 0
            if logits is not None:
                found["mask_iou"] = mask_iou(shown, mask)
            if final:
                found |= self.shapes(prediction, batch, shown)
            sets = super().__call__(prediction, batch, final) if "points" in batch else {}
            failed = failed | (sets["failure"] > 0) if sets else failed
        return sets | found | {"failure": failed.to(truth.dtype)}

    def directions(self, prediction: Any, batch: Mapping[str, Any], failed: Bool[Tensor, " b"]) -> Scores:
        """Angles of the normals that the depth implies (`depth_normal_...`) and of a normal head (`normal_...`).

        Pixels are those whose normal the true depth determines, outside the band of one pixel along its edges; names
        that end in `_with_edges` take the band in, and so do objects so thin that they have no other pixel. Rough
        predictions do not lose pixels: the true depth says where surfaces are cut. `depth_normal_angle_forward` is by
        forward differences: a few degrees at best on curved surfaces, but where it is far above `depth_normal_angle`
        neighbouring pixels alternate.
        """
        truth, mask, intrinsics = batch["depth"], batch["mask"], batch["intrinsics"]
        guess = torch.where(failed[:, None, None, None], 1.0, prediction.depth)
        of_depth, valid = normals_from_depth(guess, intrinsics, mask, jump=self.jump, guide=truth)
        exact = batch.get("normal")
        if exact is None:
            exact, valid = normals_from_depth(truth, intrinsics, mask, jump=self.jump)
        valid = valid & (exact != 0).any(1, keepdim=True)
        inside = or_all(valid & ~edge_band(truth, mask, self.jump), valid)
        lost = failed | ~inside.flatten(1).any(1)
        found: Scores = {}
        for prefix, normal in (("depth_normal", of_depth), ("normal", getattr(prediction, "normal", None))):
            if normal is not None:
                angle = angles(normal, exact)
                found |= normal_scores(angle, inside, lost, prefix)
                found[f"{prefix}_angle_with_edges"] = mean_angle(angle, valid, failed | ~valid.flatten(1).any(1))
        steps, there = normals_from_depth(guess, intrinsics, mask, "forward", jump=self.jump, guide=truth)
        there = or_all(there & inside, there & valid)
        lost = failed | ~there.flatten(1).any(1)
        found["depth_normal_angle_forward"] = mean_angle(angles(steps, exact), there, lost)
        return found

    def shapes(self, prediction: Any, batch: Mapping[str, Any], shown: Bool[Tensor, "b 1 h w"]) -> Scores:
        """Edges, flying pixels, and the distance of the surface from the visible true points."""
        depth, truth, mask, intrinsics = prediction.depth, batch["depth"], batch["mask"], batch["intrinsics"]
        found = {
            "boundary_f1": boundary_f1(depth, truth, mask, self.jump),
            "flying_pixels": flying_pixels(depth, truth, mask, shown, intrinsics, self.radius),
        }
        scaled = depth * median_ratio(pixels(depth, truth, mask)).to(depth.dtype)  # a wrong distance flies as a whole
        found["flying_pixels_median"] = flying_pixels(scaled, truth, mask, shown, intrinsics, self.radius)
        if "pose" in batch:
            n = self.points if prediction.capacity is None else min(self.points, prediction.capacity)
            points = to_camera(prediction.surface(n)[0], batch["pose"])
            found["visible_chamfer_l1"] = visible_chamfer_l1(points, truth, mask, intrinsics)
        return found


def or_all(some: Bool[Tensor, "b 1 h w"], every: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Some pixels of each sample, or, where there are none, all of them."""
    return torch.where(some.flatten(1).any(1)[:, None, None, None], some, every)
