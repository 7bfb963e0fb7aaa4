"""Which of the two sides of each point is outside."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.ops.normals import Patches, noise_width, on_plane, patches

VIEWS = 64  # directions from which points are looked at
STEEP = 0.25  # cosine: a point that is seen under a flatter angle says nothing about its side
EDGE_ON = 0.05  # cosine: a disc that is seen under a flatter angle hides nothing
DISC = 1.5  # spacings: radius of the disc that each point covers
OWN, ROUNDS = 0.05, 50  # what a point's own sight weighs beside its neighbours' opinion, and how often they ask


def outward(points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The normals, each turned to the side from which its point is seen.

    The set is looked at from all sides: each point covers a disc of its tangent plane in a depth map, and a point that
    no disc covers turns towards the viewer. Neighbours on one plane then settle on one side; across edges, and between
    the two sides of a board, nobody is asked. Meant for points on the outside of closed things: what lies behind a gap
    of less than two spacings is never seen, and where a wall is thinner than one, sides stay doubtful.

    Raises:
        UserError: as `neighbourhoods`.
    """
    around, given = patches(points), normals.detach().cpu().double().numpy()
    width = noise_width(around, given)
    places, facing = points.detach().cpu().float(), normals.detach().cpu().float()
    views = (_seen(places, facing, around.apart, view, 2 * width + 0.02) for view in _all_around(VIEWS))
    votes = _settled(torch.stack(list(views)).sum(0).double().numpy(), around, given, width)
    return normals * torch.from_numpy(np.where(votes >= 0, 1.0, -1.0)).to(normals)[:, None]


def _settled(votes: np.ndarray, around: Patches, normals: np.ndarray, width: float) -> np.ndarray:
    """Votes (n,) after points on one plane have asked each other: a random walk that begins again now and then."""
    near = normals[around.neighbours]
    alike = np.einsum("nd,nkd->nk", normals, near)
    off = [(around.to * side).sum(-1) for side in (normals[:, None], near)]
    weight = around.close * alike**2 * on_plane(off[0], width) ** 2 * on_plane(off[1], width) ** 2
    signed, total = weight * np.sign(alike), OWN + weight.sum(1)
    settled = votes
    for _ in range(ROUNDS):
        settled = (OWN * votes + (signed * settled[around.neighbours]).sum(1)) / total
    return settled


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


def _seen(points: Tensor, normals: Tensor, apart: float, view: Tensor, slack: float) -> Tensor:
    """(n,) signed squared cosine towards the viewer where a point is seen, else 0; `slack` spacings behind a disc."""
    pixel, radius = apart / 2, DISC * apart
    placed, facing = points @ view.T, normals @ view.T
    reach = math.ceil(radius / pixel)
    span = torch.arange(-reach, reach + 1)
    square = torch.cartesian_prod(span, span)
    low = placed[:, :2].amin(0) - (reach + 1) * pixel
    cell = ((placed[:, :2] - low) / pixel).floor().long()
    size = int(cell.max()) + reach + 2
    at = cell[:, None] + square
    away = low + (at + 0.5) * pixel - placed[:, None, :2]
    cosine = facing[:, 2]
    drawn = cosine.abs() > EDGE_ON
    slope = facing[:, :2] / torch.where(drawn, cosine, torch.ones(()))[:, None]
    rise = (away * slope[:, None]).sum(-1)
    own = (square == 0).all(-1)  # its own pixel, though its centre may lie beyond a disc that is seen from its edge
    covered = drawn[:, None] & (((away**2).sum(-1) + rise**2 <= radius**2) | own)
    depth = torch.where(covered, -placed[:, None, 2] + rise.clamp(-radius, radius), torch.inf)
    nearest = torch.full((size * size,), torch.inf)
    nearest.scatter_reduce_(0, (at[..., 0] * size + at[..., 1]).flatten(), depth.flatten(), "amin")
    # Compared where the disc was drawn, not where the point lies: a plane never hides its own points.
    free = depth[:, own][:, 0] <= nearest[cell[:, 0] * size + cell[:, 1]] + slack * apart
    return torch.where((cosine.abs() > STEEP) & free, cosine * cosine.abs(), torch.zeros(()))
