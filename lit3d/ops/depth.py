"""Depth maps: which pixels count, where they lie in space, where the surface is cut.

`depth` (b, 1, h, w) is camera z in the scene's unit, intrinsics are in pixels with centres at +0.5, and the camera is
OpenCV's: x right, y down, z forward.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from lit3d.errors import UserError

JUMP = 0.05  # step from pixel to pixel, in shares of the nearer depth, that cuts a surface
LEAST = 1e-2  # depth below which 1/d and log d go on as straight lines


def valid_depth(
    depth: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"] | None = None
) -> Bool[Tensor, "b 1 h w"]:
    """Pixels of the mask with a finite depth above 0: what a renderer leaves empty and a sensor misses is neither."""
    found = depth.isfinite() & (depth > 0)
    return found if mask is None else found & mask


def rays(intrinsics: Float[Tensor, "b 3 3"], height: int, width: int) -> Float[Tensor, "b 3 h w"]:
    """Camera points at depth 1 under the pixel centres: K^-1 [u, v, 1] for K with the last row 0 0 1."""
    dtype, device = intrinsics.dtype, intrinsics.device
    u = torch.arange(width, dtype=dtype, device=device) + 0.5
    v = torch.arange(height, dtype=dtype, device=device)[:, None] + 0.5
    fx, skew, cx = intrinsics[:, 0, :, None, None].unbind(1)
    fy, cy = intrinsics[:, 1, 1, None, None], intrinsics[:, 1, 2, None, None]
    y = ((v - cy) / fy).expand(-1, height, width)
    x = (u - cx - skew * y) / fx
    return torch.stack([x, y, torch.ones_like(x)], dim=1)


def unproject(depth: Float[Tensor, "b 1 h w"], intrinsics: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3 h w"]:
    """Camera points of all pixels, also of those without a valid depth: P(u, v) = depth K^-1 [u, v, 1]."""
    return depth * rays(intrinsics.to(depth.dtype), depth.shape[2], depth.shape[3])


def to_points(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """The pixels row by row, n = h w: camera points as the set that `nearest` and `to_camera` take."""
    return image.flatten(2).transpose(1, 2)


def inverse_depth(depth: Float[Tensor, "*s"], least: float = LEAST) -> Float[Tensor, "*s"]:
    """1 / depth; below `least` its tangent, so that a predicted depth of 0 or less has a slope that leads back."""
    far = depth > least
    return torch.where(far, 1 / torch.where(far, depth, 1.0), (2 - depth / least) / least)


def log_depth(depth: Float[Tensor, "*s"], least: float = LEAST) -> Float[Tensor, "*s"]:
    """Natural logarithm; below `least` its tangent, so that a predicted depth of 0 or less has a slope that leads back.

    Only predictions are ever there: true depth of 0 or less is not valid.
    """
    far = depth > least
    near = depth / least - 1 + torch.tensor(least, dtype=depth.dtype, device=depth.device).log()
    return torch.where(far, torch.where(far, depth, 1.0).log(), near)


def shifts(image: Tensor, radius: int, mode: str = "constant") -> dict[tuple[int, int], Tensor]:
    """Views of the image by offset (p, q): that of (u + p, v + q) stands at (u, v).

    `mode`: what lies outside, `constant` (zeros) or `replicate` (the border again).
    """
    h, w = image.shape[-2:]
    padded = pad(image, (radius,) * 4, mode=mode)
    steps = range(-radius, radius + 1)
    return {
        (p, q): padded[..., radius + q : radius + q + h, radius + p : radius + p + w] for q in steps for p in steps
    }


def pairs(image: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each pixel and its right neighbour, then each pixel and its lower one."""
    yield image[..., :, :-1], image[..., :, 1:]
    yield image[..., :-1, :], image[..., 1:, :]


def is_jump(a: Tensor, b: Tensor, jump: float, pixels: int = 1) -> Tensor:
    """Whether two depths, `pixels` apart, differ by more than a share `jump` of the nearer one for each pixel."""
    return (a - b).abs() > jump * pixels * torch.minimum(a, b)


def checked_jump(jump: float) -> float:
    """The threshold of a depth jump.

    Raises:
        UserError: not above 0.
    """
    if not jump > 0:
        raise UserError(f"jump must be above 0 (a share of the depth, such as {JUMP}), but is {jump}")
    return jump


def edge_band(
    depth: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"] | None = None,
    jump: float = JUMP,
    width: int = 1,
) -> Bool[Tensor, "b 1 h w"]:
    """Valid pixels along depth edges: one of the eight neighbours is not valid or lies across a jump.

    Both sides of an edge belong to it, outlines too, the border of the picture does not. `width` > 1 widens the band.
    On a plane inclined by t the step from pixel to pixel is a share tan(t) / focal length of the depth, so that 0.05
    at 70 pixels of focal length cuts what is steeper than 74 degrees.
    """
    checked_jump(jump)
    with torch.no_grad():
        valid = valid_depth(depth, mask)
        known = torch.where(valid, depth, 1.0)
        around = shifts(known, 1, "replicate")
        sound = shifts(valid.to(depth.dtype), 1, "replicate")
        band = torch.zeros_like(valid)
        for offset, other in around.items():
            band |= (sound[offset] == 0) | is_jump(known, other, jump)
        if width > 1:
            band = max_pool2d(band.to(depth.dtype), 2 * width - 1, stride=1, padding=width - 1) > 0
        return band & valid
