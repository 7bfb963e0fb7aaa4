"""Normals of a point set."""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from lit3d.errors import UserError

FIT, NEAR = 16, 7  # neighbours that a plane is fitted to, and those that say how far apart points are
PAIRS = 6  # nearest neighbours, any two of which span a plane through the point
ROUNDS = 2  # how often planes pass from point to point
WIDTHS = (0.02, 0.04, 0.08, 0.16, 0.3)  # how far off a plane its neighbours may lie, in distances to the seventh
ENOUGH = 0.45  # share of the neighbours that lies on the plane of the median point, at a width that fits the noise

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


class Patches(NamedTuple):
    """What lies around each of n points.

    Attributes:
        to: (n, k, 3) to the neighbours, in distances to the seventh of them.
        neighbours: (n, k) which points they are.
        close: (n, k) their weights, larger for nearer ones.
        apart: spacing of the points.
    """

    to: np.ndarray
    neighbours: np.ndarray
    close: np.ndarray
    apart: float


def patches(points: Float[Tensor, "n 3"]) -> Patches:
    """Neighbourhoods in units of their own size.

    Raises:
        UserError: as `neighbourhoods`.
    """
    distance, index = neighbourhoods(points)
    places = points.detach().cpu().double().numpy()
    to = (places[index] - places[:, None]) / np.maximum(distance[:, NEAR - 1], 1e-12)[:, None, None]
    return Patches(to, index, np.exp(-(to**2).sum(-1) / 2), spacing(distance))


def estimated_normals(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Unit normals of either sign: of the plane through each point that most of its neighbours lie on.

    Candidates are the planes through a point and two of its neighbours, then those of its neighbours: what lies across
    an edge or on the other side of a board does not tilt a plane, however much of it there is. How far off a plane
    points may lie is read off the set, so that noise is averaged and edges stay sharp where there is none.

    Raises:
        UserError: as `neighbourhoods`.
    """
    around = patches(points)
    to = around.to
    first, second = np.array(list(combinations(range(PAIRS), 2))).T
    spanned = np.cross(to[:, first], to[:, second])
    spanned /= np.maximum(np.linalg.norm(spanned, axis=-1, keepdims=True), 1e-12)
    level = _flattest(to, (np.arange(FIT) < NEAR) * np.ones_like(around.close))
    candidates = np.concatenate([level[:, None], spanned], axis=1)
    for width in WIDTHS:
        normals, score = _best(around, candidates, width)
        if _share(around, normals, width) > ENOUGH:
            break
    for _ in range(ROUNDS):
        passed, further = _best(around, normals[around.neighbours], width)
        normals, score = np.where((further > score)[:, None], passed, normals), np.maximum(score, further)
    return torch.from_numpy(normals).to(points.dtype)


def noise_width(around: Patches, normals: np.ndarray) -> float:
    """The least of `WIDTHS` at which planes with these normals (n, 3) hold enough of their neighbours."""
    return next((width for width in WIDTHS[:-1] if _share(around, normals, width) > ENOUGH), WIDTHS[-1])


def on_plane(off: np.ndarray, width: float) -> np.ndarray:
    """Weight of neighbours so far off a plane: redescending."""
    return 1 / (1 + (off / width) ** 2)


def _share(around: Patches, normals: np.ndarray, width: float) -> float:
    held = around.close * on_plane((around.to * normals[:, None]).sum(-1), width) ** 2
    return float(np.median(held.sum(1) / around.close.sum(1)))


def _best(around: Patches, candidates: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Of candidates (n, c, 3) the normal (n, 3) whose plane holds most neighbours, fitted to these, and how many."""

    def held(normals: np.ndarray) -> np.ndarray:
        off = np.einsum("nkd,ncd->nck", around.to, normals)
        return (around.close[:, None] * on_plane(off, width)).sum(-1)

    normals = candidates[np.arange(len(candidates)), held(candidates).argmax(1)]
    for _ in range(2):
        off = (around.to * normals[:, None]).sum(-1)
        normals = _flattest(around.to, around.close * on_plane(off, width) ** 2 + 1e-12)
    return normals, held(normals[:, None])[:, 0]


def _flattest(to: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n, 3) direction in which weighted vectors (n, k, 3) from a point reach least far."""
    return np.linalg.eigh(np.einsum("nk,nki,nkj->nij", weight, to, to))[1][:, :, 0]


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
