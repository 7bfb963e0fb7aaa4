"""What a depth error does not say, one number a sample: directions, outlines, edges, and points in empty space.

Depth maps and masks are (b, 1, h, w), normals (b, 3, h, w) in camera axes; failures get the worst score that each
function names.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d.ops.depth import JUMP, is_jump, pairs, to_points, unproject, valid_depth
from lit3d.ops.masked import masked_mean, masked_median
from lit3d.ops.neighbours import nearest, safe_sqrt

Map = Float[Tensor, "b 1 h w"]
Mask = Bool[Tensor, "b 1 h w"]
Normals = Float[Tensor, "b 3 h w"]
Intrinsics = Float[Tensor, "b 3 3"]
SHARES = {"11deg": 11.25, "22deg": 22.5, "30deg": 30.0}


def angles(a: Normals, b: Normals) -> Float[Tensor, "b 1 h w"]:
    """Degrees between directions of any length, exact for small angles; 90 where one is zero or not finite."""
    dtype, a, b = a.dtype, a.double(), b.double()
    sine = torch.linalg.cross(a, b, dim=1).square().sum(1, keepdim=True).sqrt()
    cosine = (a * b).sum(1, keepdim=True)
    known = (sine > 0) | (cosine != 0)  # false where NaN
    return torch.where(known & (sine + cosine).isfinite(), torch.rad2deg(torch.atan2(sine, cosine)), 90.0).to(dtype)


def normal_scores(
    angle: Float[Tensor, "b 1 h w"], valid: Mask, failed: Bool[Tensor, " b"], prefix: str = "normal"
) -> dict[str, Float[Tensor, " b"]]:
    """Mean and median angle in degrees, and shares strictly under 11.25, 22.5 and 30 degrees, over valid pixels.

    Keys: `normal_angle`, `normal_angle_median`, `normal_11deg`, `normal_22deg`, `normal_30deg`. A failure gets 90
    degrees and shares of 0.
    """
    found = {"angle": mean_angle(angle, valid, failed)}
    found["angle_median"] = torch.where(failed, 90.0, masked_median(angle, valid))
    for name, limit in SHARES.items():
        found[name] = torch.where(failed, 0.0, masked_mean((angle < limit).to(angle.dtype), valid))
    return {f"{prefix}_{k}": v for k, v in found.items()}


def mean_angle(angle: Float[Tensor, "b 1 h w"], valid: Mask, failed: Bool[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Over valid pixels, in degrees; 90 for a failure."""
    return torch.where(failed, 90.0, masked_mean(angle, valid))


def mask_iou(predicted: Mask, mask: Mask) -> Float[Tensor, " b"]:
    """Intersection over union of two masks; 1 where both are empty, 0 where one is."""
    both, either = ((f(predicted, mask)).flatten(1).sum(1) for f in (torch.logical_and, torch.logical_or))
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)


def boundary_f1(depth: Map, true_depth: Map, mask: Mask, jump: float = JUMP) -> Float[Tensor, " b"]:
    """F1 of depth edges between neighbouring pixels of the mask, at the very place and to the same side.

    After Depth Pro (Bochkovskii et al. 2025, section 3.2) at one threshold: an edge is where the farther depth is more
    than 1 + jump times the nearer one. 1 where neither has an edge, 0 where one has none, where the prediction is not
    finite and where there is no truth. Outlines do not count: `mask_iou` says how good they are.
    """
    valid = valid_depth(true_depth, mask)
    known = torch.where(valid, true_depth, 1.0)
    guess = torch.where(valid, depth, 1.0)
    hits = ours = theirs = torch.zeros_like(depth[:, 0, 0, 0])
    for (a, b), (g, h), (ok_a, ok_b) in zip(pairs(guess), pairs(known), pairs(valid), strict=True):
        linked = ok_a & ok_b
        edge, truth = is_jump(a, b, jump) & linked, is_jump(g, h, jump) & linked
        hits = hits + (edge & truth & ((a < b) == (g < h))).flatten(1).sum(1)
        ours, theirs = ours + edge.flatten(1).sum(1), theirs + truth.flatten(1).sum(1)
    score = torch.where(ours + theirs > 0, 2 * hits / (ours + theirs).clamp_min(1), 1.0)
    return torch.where(guess.isfinite().flatten(1).all(1) & valid.flatten(1).any(1), score, 0.0)


# --- in space ---------------------------------------------------------------------------------------------------------


def compact(points: Float[Tensor, "b n 3"], valid: Bool[Tensor, "b n"]) -> tuple[Tensor, Bool[Tensor, "b k"]]:
    """The valid points first and as few others as the fullest sample has room for; and which are valid.

    The others are copies of the first valid one, or of the origin where there is none.
    """
    k = max(1, int(valid.sum(1).max()))
    order = valid.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :k]
    kept, there = points.gather(1, order[..., None].expand(-1, -1, 3)), valid.gather(1, order)
    first = torch.where(there[:, :1, None], kept[:, :1], 0.0)
    return torch.where(there[..., None], kept, first), there


def flying_pixels(
    depth: Map, true_depth: Map, mask: Mask, shown: Mask, intrinsics: Intrinsics, radius: float = 0.05
) -> Float[Tensor, " b"]:
    """Share of predicted pixels that lie farther than `radius` from every visible true point.

    Args:
        depth: predicted.
        true_depth: truth.
        mask: pixels with a truth.
        shown: pixels of the prediction, such as its own mask.
        intrinsics: of the image.
        radius: in the scene's unit. Visible true points lie a pixel apart, 0.03 to 0.04 of the longest side at 64
            pixels: a smaller radius calls right predictions between them flying.

    Returns:
        Shares; 1 where there is no truth, no pixel shown, or one of them is not finite.
    """
    valid = valid_depth(true_depth, mask).flatten(1)
    finite = (depth.isfinite() | ~shown).flatten(1).all(1)
    usable = (shown & depth.isfinite()).flatten(1)
    ours, there = compact(to_points(unproject(torch.where(depth.isfinite(), depth, 1.0), intrinsics)), usable)
    truth, _ = compact(to_points(unproject(true_depth.nan_to_num(1.0, 1.0, 1.0), intrinsics)), valid)
    far = safe_sqrt(nearest(ours, truth)[0]) > radius
    failed = ~finite | ~valid.any(1) | ~usable.any(1)
    return torch.where(failed, 1.0, masked_mean(far.to(depth.dtype), there))


def visible_chamfer_l1(
    points: Float[Tensor, "b n 3"], true_depth: Map, mask: Mask, intrinsics: Intrinsics
) -> Float[Tensor, " b"]:
    """Half the sum of the two mean Euclidean distances, as `chamfer_l1`, but against the visible true points alone.

    Args:
        points: predicted, in *camera* coordinates.
        true_depth: truth.
        mask: pixels with a truth.
        intrinsics: of the image.

    Returns:
        In the scene's unit; sqrt(3) where there is no truth, no point, or one is not finite.
    """
    valid = valid_depth(true_depth, mask).flatten(1)
    failed = ~points.isfinite().flatten(1).all(1) | ~valid.any(1)
    if points.shape[1] == 0:
        return torch.full_like(points[:, 0, 0] if points.numel() else true_depth[:, 0, 0, 0], math.sqrt(3))
    points = torch.where(failed[:, None, None], 0.0, points)
    truth, there = compact(to_points(unproject(true_depth.nan_to_num(1.0, 1.0, 1.0), intrinsics)), valid)
    accuracy = safe_sqrt(nearest(points, truth)[0]).mean(1)
    completeness = masked_mean(safe_sqrt(nearest(truth, points)[0]), there)
    return torch.where(failed, math.sqrt(3), (accuracy + completeness) / 2)
