"""Which branch of a head draws what: recall of each on thick and thin parts, fair to its number of points."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from lit3d.ops.neighbours import nearest
from lit3d.ops.sampling import random_subset

BODY, PLATE, ROD = 0, 1, 2  # kinds of pieces: thick, thin in one direction, thin in two
KINDS = ("body", "plate", "rod")
THIN = 0.08  # of the object's longest side
REACH = 4.0  # points of one piece are linked over this many median nearest distances


def pieces(points: Float[np.ndarray, "m 3"], parts: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """Connected pieces of each part: the four legs of a chair are one part and four pieces.

    Points of the same part are linked if they are nearer than `REACH` times the median distance of a point to its
    nearest one: of uniform samples, a disc of that radius holds about twelve, so that a surface rarely falls apart.
    """
    tree = cKDTree(points)
    reach = REACH * float(np.median(tree.query(points, k=2)[0][:, 1])) if len(points) > 1 else 0.0
    i, j = tree.query_pairs(reach, output_type="ndarray").T if reach else np.zeros((2, 0), int)
    same = parts[i] == parts[j]
    links = coo_array((np.ones(int(same.sum()), bool), (i[same], j[same])), shape=(len(points),) * 2)
    return connected_components(links, directed=False)[1]


def kinds_of_points(
    points: Float[np.ndarray, "m 3"], parts: Int[np.ndarray, " m"], thin: float = THIN
) -> Int[np.ndarray, " m"]:
    """`BODY`, `PLATE` or `ROD` of each true point, by the size of its piece.

    The sides of a piece are its extents along its own principal axes (so a leg that leans is as thin as an upright
    one). A rod has two sides below `thin`, a plate one, a body none: legs, posts and cables are rods, table tops and
    wings are plates. A curved shell counts by its box, not by its wall. Only what can be seen from outside was sampled.

    Args:
        points: uniform on the surface, in any frame, in units of the longest side.
        parts: part of each point.
        thin: what is thin.
    """
    piece = pieces(points, parts)
    kind = np.zeros(piece.max(initial=-1) + 1, np.int64)
    order = np.argsort(piece, kind="stable")
    for k, members in enumerate(np.split(points[order], np.cumsum(np.bincount(piece))[:-1])):
        centred = members - members.mean(axis=0)
        axes = np.linalg.eigh(centred.T @ centred)[1]
        kind[k] = min(2, int((np.ptp(centred @ axes, axis=0) < thin).sum()))
    return kind[piece]


def recall_by_kind(
    points: Float[Tensor, "b n 3"], truth: Float[Tensor, "b m 3"], kinds: Int[Tensor, "b m"], radii: Sequence[float]
) -> Float[Tensor, "r b k"]:
    """Share of the true points of each kind strictly nearer than each radius to the points; NaN where there is none."""
    near = nearest(truth, points)[0]
    mine = torch.nn.functional.one_hot(kinds, len(KINDS)).to(near.dtype)
    hits = torch.stack([(near < r * r).to(near.dtype) for r in radii])
    return torch.einsum("rbm,bmk->rbk", hits, mine) / mine.sum(1)


def share_by_kind(
    points: Float[Tensor, "b n 3"], truth: Float[Tensor, "b m 3"], kinds: Int[Tensor, "b m"]
) -> Float[Tensor, "b k"]:
    """Share of the points whose nearest true point is of each kind: what they are spent on."""
    index = nearest(points, truth)[1]
    return torch.nn.functional.one_hot(kinds.gather(1, index), len(KINDS)).to(points.dtype).mean(1)


def subset_recall(
    points: Float[Tensor, "b n 3"],
    count: int,
    truth: Float[Tensor, "b m 3"],
    kinds: Int[Tensor, "b m"],
    radii: Sequence[float],
    seeds: Sequence[int] = (0, 1, 2),
) -> Float[Tensor, "r b k"]:
    """`recall_by_kind` of `count` of the points at random, mean over seeds: few points reach less by chance alone."""
    draws = [random_subset(points, count, torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack([recall_by_kind(draw, truth, kinds, radii) for draw in draws]).mean(0)
