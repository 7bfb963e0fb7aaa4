"""Depth maps whose points and normals are known, in float64: planes, spheres, steps."""

import torch
from torch.nn.functional import normalize


def camera(size=64, focal=70.0, skew=0.0, height=None):
    height = size if height is None else height
    k = torch.tensor([[focal, skew, size / 2 + 1.3], [0, 1.1 * focal, height / 2 - 0.7], [0, 0, 1]])
    return k.double()[None]


def directions(intrinsics, height, width):
    """K^-1 [u, v, 1] with a general inverse, (b, 3, h, w)."""
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)]).double().flatten(1)
    return (torch.linalg.inv(intrinsics) @ pixels).unflatten(2, (height, width))


def plane(intrinsics, normal, distance=2.0, height=64, width=64):
    """Depth where <normal, P> = -distance, the unit normal, and nothing where the plane is not in front."""
    normal = normalize(torch.tensor(normal).double(), dim=0)
    along = (directions(intrinsics, height, width) * normal[:, None, None]).sum(1, keepdim=True)
    depth = torch.where(along < -1e-2, -distance / along, 0.0)
    return depth, normal[None, :, None, None].expand(len(depth), 3, height, width)


def sphere(intrinsics, radius=0.5, centre=(0.0, 0.0, 1.4), height=64, width=64):
    """Depth, normals and the cosine between the normal and the way back to the camera."""
    rays, c = directions(intrinsics, height, width), torch.tensor(centre).double()[None, :, None, None]
    a, b, d = (rays * rays).sum(1, True), (rays * c).sum(1, True), (c * c).sum() - radius**2
    root = b * b - a * d
    depth = torch.where(root > 0, (b - root.clamp_min(0).sqrt()) / a, 0.0)
    normal = (depth * rays - c) / radius
    return depth, normal, -(normal * normalize(rays, dim=1)).sum(1, True)


def degrees(a, b):
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b, dim=1).norm(dim=1), (a * b).sum(1)))[:, None]
