"""Earth Mover's Distance: the exact assignment between two point sets of equal size."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.checks import check_sets
from lit3d.ops.kernels import auction_cuda, pool
from lit3d.ops.kernels.assignment import Assigned, assign, dense
from lit3d.ops.kernels.assignment_kinds import Way
from lit3d.ops.kernels.assignment_search import dual_value, matched_cost
from lit3d.ops.neighbours import gather_points, safe_sqrt


@dataclass(frozen=True)
class Matching:
    """A bijection for each sample: point i of the first set goes to point `index[b, i]` of the second.

    `potential` (f at the first set, g at the second) proves a Euclidean matching optimal: f_i - g_j <= |x_i - y_j|,
    equal for matched pairs. NaN where a dense solver was faster, for that leaves none; close to it with `match(gap=)`.
    `dual` is a lower bound for the cost of every bijection, computed anew over all n^2 pairs from the potential, and
    `gap` is cost - dual: 0 up to rounding is the proof. NaN unless asked for.
    """

    index: Int[Tensor, "b n"]
    cost: Float[Tensor, " b"]  # sum of the matched Euclidean (or squared) distances, float64
    dual: Float[Tensor, " b"]
    gap: Float[Tensor, " b"]
    potential: Float[Tensor, "b 2 n"]


@torch.compiler.disable
def match(
    x: Float[Tensor, "b n d"],
    y: Float[Tensor, "b m d"],
    squared: bool = False,
    certify: bool = False,
    state: Matching | None = None,
    gap: float | None = None,
) -> Matching:
    """The exact bijection of least total Euclidean (or squared) distance; no gradient. Computed on the CPU in float64.

    Euclidean: auction and shortest augmenting paths on candidate lists, about 1 KB a point and thread; where that is
    slower (few points, thin sets, budget spent) and for squared distances Jonker-Volgenant on the dense matrix of a
    sample, 8 n^2 bytes (Euclidean: up to 4,096 points only). Several samples at a time.

    Args:
        x: first sets.
        y: second sets, as many points.
        squared: least total squared distance. The lists rest on the triangle inequality, so this is the dense solver.
        certify: compute `dual` and `gap`; never the dense solver, which leaves no prices. Among several optimal
            bijections another one may be returned than without.
        state: an earlier matching of nearly the same sets in the same order. Two to four times faster while points
            move by less than their spacing; where its prices no longer fit, which a cheap test tells, it is not used.
        gap: None: exact. A number: a bijection that is proved to cost at most about this share more than the least,
            by a batched auction where the sets are; on a CUDA device the host does not wait for it. `dual` and `gap`
            of the result tell what was reached. Pass the result as `state` to finish it exactly on the CPU.

    Raises:
        UserError: what `nearest` refuses, sets of different size, `certify` or `state` with `squared`, and a `state`
            of another batch or size.
    """
    check_sets(x, y, equal_size=True)
    if squared and (certify or state is not None):
        raise UserError("certify=True and state=... are for Euclidean matchings only; leave them out or squared=True")
    if state is not None and state.index.shape != x.shape[:2]:
        raise UserError(
            f"the earlier matching is of {tuple(state.index.shape)} (batch, points), but the sets are of "
            f"{tuple(x.shape[:2])}: a warm start needs the same sets, slightly moved"
        )
    if gap is not None:
        return _approximate(x, y, gap, alone=not (squared or certify or state is not None))
    a, b = _rows_of_three(x), _rows_of_three(y)
    earlier = [None] * len(a) if state is None else _earlier(state)

    def one(i: int) -> tuple[np.ndarray, float, float, np.ndarray | None]:
        if squared:
            index = dense(a[i], b[i], "sqeuclidean")
            return index, matched_cost(a[i], b[i], index, True), np.nan, None
        found = assign(a[i], b[i], earlier[i], lists_only=certify)
        cost = matched_cost(a[i], b[i], found.index, False)
        dual = dual_value(a[i], b[i], found.potential[1]) if certify and found.potential is not None else np.nan
        return found.index, cost, dual, found.potential

    solved = pool.over_samples(one, range(len(a)))
    index = np.stack([s[0] for s in solved]) if solved else np.empty(x.shape[:2], np.int64)
    cost, dual = (torch.tensor([s[k] for s in solved], dtype=torch.float64, device=x.device) for k in (1, 2))
    potential = np.full((len(a), 2, x.shape[1]), np.nan)
    for i, found in enumerate(solved):
        if found[3] is not None:
            potential[i] = found[3]
    return Matching(
        torch.from_numpy(index).to(x.device), cost, dual, cost - dual, torch.from_numpy(potential).to(x.device)
    )


def _approximate(x: Tensor, y: Tensor, gap: float, alone: bool) -> Matching:
    if not alone or not 0 < gap < 1:
        raise UserError(
            f"gap={gap} asks for an approximate Euclidean matching: it must lie between 0 and 1 (1e-3 is usual), and "
            "squared, certify and state do not go with it"
        )
    solve = auction_cuda.match if x.is_cuda and auction_cuda.AVAILABLE else auction_cuda.match_reference
    found = solve(x.detach(), y.detach(), gap)
    price = found.prices.double()
    least = price.gather(1, found.index)  # f at x is whatever makes the matched pairs tight: close to feasible
    lengths = (x.detach().double() - gather_points(y.detach().double(), found.index)).norm(dim=-1)
    potential = torch.stack([lengths + least, price], dim=1)
    return Matching(found.index, found.cost, found.dual, found.cost - found.dual, potential)


def _earlier(state: Matching) -> list[Assigned | None]:
    index, potential = state.index.cpu().numpy(), state.potential.cpu().numpy()
    return [Assigned(i, p, Way.WARM) if np.isfinite(p).all() else None for i, p in zip(index, potential, strict=True)]


def _rows_of_three(points: Tensor) -> np.ndarray:
    """(b, n, 3) float64, contiguous: the plane gets a third coordinate 0."""
    wide = points.detach().to("cpu", torch.float64)
    return torch.nn.functional.pad(wide, (0, 3 - points.shape[-1])).contiguous().numpy()


def emd(x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"], squared: bool = False) -> Float[Tensor, " b"]:
    """Earth Mover's Distance per sample: the mean matched Euclidean distance under the best bijection.

    min over bijections f of 1/n sum_x |x - f(x)| (Fan et al. 2017, section 4.3, divided by n), in the coordinates'
    unit; `squared` gives the mean matched squared distance (W2 squared). The gradient runs through the fixed optimal
    matching to both sides, which is the true gradient wherever the matching is unique; it is 0 at distance 0.

    Raises:
        UserError: see `match`.
    """
    index = match(x, y, squared).index
    if x.dtype in (torch.float16, torch.bfloat16):
        x, y = x.float(), y.float()
    distance = ((x - gather_points(y, index)) ** 2).sum(-1)
    return (distance if squared else safe_sqrt(distance)).mean(1)
