"""Normals of a point set, and which of their two sides is outside."""

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from lit3d.errors import UserError

FIT, NEAR = 16, 7  # neighbours that a plane is fitted to, and those that the first guess is made of
VIEWS = 64  # directions from which points are looked at
STEEP = 0.25  # cosine: a point that is seen under a flatter angle says nothing about its side
AGREE = 10  # neighbours that share their opinion


def neighbourhoods(points: Float[Tensor, "n 3"], count: int = FIT) -> tuple[np.ndarray, np.ndarray]:
    """Distances (n, count) and indices (n, count) of the nearest other points, nearest first; float64.

    Raises:
        UserError: fewer than `count` + 1 points, coordinates that are not finite, or all points in one place.
    """
    places = points.detach().cpu().double().numpy()
    if len(places) <= count or not np.isfinite(places).all():
        raise UserError(f"a surface through points needs at least {count + 1} finite ones, got {len(places)} points")
    distance, index = cKDTree(places).query(places, count + 1)
    if float(np.median(distance[:, NEAR])) <= 0:
        raise UserError("more than half of the points have eight others in their place: drop repeated points first")
    return distance[:, 1:], index[:, 1:]


def spacing(distance: np.ndarray) -> float:
    """The side of the square that a point has for itself, from the disc that holds its nearest six (median)."""
    return float(np.median(distance[:, 5])) * math.sqrt(math.pi / 6)


def estimated_normals(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Unit normals of either sign: the plane through each point that fits its neighbours.

    Neighbours off the plane lose weight from fit to fit (a redescending estimator), so that points across an edge or on
    the other side of a board do not tilt it.

    Raises:
        UserError: as `neighbourhoods`.
    """
    distance, index = neighbourhoods(points)
    places = points.detach().cpu().double().numpy()
    to = places[index] - places[:, None]
    scale = np.maximum(distance[:, NEAR - 1 : NEAR], 1e-12)
    close = np.exp(-((distance / scale) ** 2) / 2)
    normals = _flattest(to, (np.arange(FIT) < NEAR) * np.ones_like(distance))
    for fit in range(5):
        off = np.abs((to * normals[:, None]).sum(-1)) / (scale * 0.3 * 0.6**fit)
        normals = _flattest(to, close / (1 + off**2) ** 2 + 1e-12)
    return torch.from_numpy(normals).to(points.dtype)


def _flattest(to: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n, 3) direction in which weighted vectors (n, k, 3) from a point reach least far."""
    return np.linalg.eigh(np.einsum("nk,nki,nkj->nij", weight, to, to))[1][:, :, 0]


def outward(points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The normals, each turned to the side from which its point is seen.

    The set is looked at from all sides: each point covers a disc of its tangent plane in a depth map, a point that no
    disc covers turns towards the viewer, and neighbours on one plane share what they saw. Meant for points on the
    outside of closed things; where a wall is thinner than the points are apart, sides stay doubtful.
    """
    distance, index = neighbourhoods(points)
    places, turned = points.detach().cpu().float(), normals.detach().cpu().float()
    apart = spacing(distance)
    votes = torch.stack([_seen(places, turned, apart, direction) for direction in _all_around(VIEWS)]).sum(0)
    near = torch.from_numpy(index[:, :AGREE])
    alike = (turned[:, None] * turned[near]).sum(-1)
    for _ in range(3):
        votes = 0.5 * votes + 0.5 * (alike * alike.abs() * votes[near]).mean(1)
    return normals * torch.where(votes >= 0, 1.0, -1.0).to(normals)[:, None]


def _all_around(count: int) -> list[Float[Tensor, "3 3"]]:
    """Rotations whose last row points at a viewer, spread over the sphere by the golden angle."""
    rotations = []
    for step in range(count):
        height, angle = 1 - (2 * step + 1) / count, step * math.pi * (3 - math.sqrt(5))
        ring = math.sqrt(1 - height**2)
        at = torch.tensor([ring * math.cos(angle), height, ring * math.sin(angle)])
        across = torch.linalg.cross(torch.eye(3)[int(at.abs().argmin())], at)
        across = across / across.norm()
        rotations.append(torch.stack([across, torch.linalg.cross(at, across), at]))
    return rotations


def _seen(points: Tensor, normals: Tensor, apart: float, view: Tensor) -> Tensor:
    """(n,) signed squared cosine towards the viewer where a point is seen, else 0."""
    pixel, radius = apart / 2, 1.5 * apart
    placed, facing = points @ view.T, normals @ view.T
    reach = math.ceil(radius / pixel)
    span = torch.arange(-reach, reach + 1)
    disc = torch.cartesian_prod(span, span)
    disc = disc[disc.float().norm(dim=1) * pixel <= radius]
    low = placed[:, :2].amin(0) - (reach + 1) * pixel
    cell = ((placed[:, :2] - low) / pixel).floor().long()
    size = int(cell.max()) + reach + 2
    at = cell[:, None] + disc
    steep = facing[:, 2].abs() > STEEP
    slope = facing[:, :2] / torch.where(steep, facing[:, 2], torch.ones(()))[:, None]
    away = low + (at + 0.5) * pixel - placed[:, None, :2]
    depth = -placed[:, None, 2] + (away * slope[:, None]).sum(-1)
    depth = torch.where(steep[:, None], depth, torch.inf)
    nearest = torch.full((size * size,), torch.inf)
    nearest.scatter_reduce_(0, (at[..., 0] * size + at[..., 1]).flatten(), depth.flatten(), "amin")
    seen = steep & (-placed[:, 2] <= nearest[cell[:, 0] * size + cell[:, 1]] + 0.35 * apart)
    return torch.where(seen, facing[:, 2] * facing[:, 2].abs(), torch.zeros(()))


def disc_points(
    normals: Float[Tensor, "n 3"], radius: Float[Tensor, " n"], count: int
) -> Float[Tensor, "n k 3"]:
    """Offsets that spread `count` points evenly over a disc across each normal."""
    step = torch.arange(count, dtype=normals.dtype)
    angle = step * math.pi * (3 - math.sqrt(5))
    flat = torch.sqrt((step + 0.5) / count)[:, None] * torch.stack([angle.cos(), angle.sin()], dim=-1)
    across = torch.linalg.cross(torch.eye(3, dtype=normals.dtype)[normals.abs().argmin(1)], normals)
    across = across / across.norm(dim=-1, keepdim=True)
    up = torch.linalg.cross(normals, across)
    axes = torch.stack([across, up], dim=1)  # n 2 3
    return radius[:, None, None] * torch.einsum("kd,ndx->nkx", flat, axes)
