"""Earth Mover's Distance: the exact assignment between two point sets of equal size."""

from dataclasses import dataclass

import lap
import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.checks import check_sets
from lit3d.ops.kernels import pool
from lit3d.ops.kernels.assignment import assign, dense_is_faster
from lit3d.ops.kernels.assignment_search import dual_value
from lit3d.ops.neighbours import gather_points, safe_sqrt


def effort(n: int) -> float:
    """Work in list builds a point after which a set of n points goes to the dense solver.

    Ordinary sets need 5 to 10 (measured, 256 to 4096 points), hostile ones up to what stands here; spent in vain, it
    costs less than half of the dense solver's time.
    """
    return min(0.08 * n - 12.0, 150.0)


@dataclass(frozen=True)
class Matching:
    """A bijection for each sample: point i of the first set goes to point `index[b, i]` of the second.

    `dual` is a lower bound for the cost of every bijection, computed anew over all n^2 pairs from the solver's prices,
    and `gap` is cost - dual: 0 up to rounding proves that the bijection is optimal. NaN unless asked for.
    """

    index: Int[Tensor, "b n"]
    cost: Float[Tensor, " b"]  # sum of the matched Euclidean (or squared) distances, float64
    dual: Float[Tensor, " b"]
    gap: Float[Tensor, " b"]


def match(
    x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"], squared: bool = False, certify: bool = False
) -> Matching:
    """The exact bijection of least total Euclidean (or squared) distance; no gradient. Computed on the CPU in float64.

    Euclidean: auction and shortest augmenting paths on candidate lists, about 1 KB a point and thread; where that is
    slower (few points, one set a slightly moved copy of the other, budget spent) and for squared distances
    Jonker-Volgenant on the dense matrix of a sample, 8 n^2 bytes. Several samples at a time.

    Args:
        x: first sets.
        y: second sets, as many points.
        squared: least total squared distance. The lists rest on the triangle inequality, so this is the dense solver.
        certify: compute `dual` and `gap`; never the dense solver, which leaves no prices. Among several optimal
            bijections another one may be returned than without.

    Raises:
        UserError: what `nearest` refuses, sets of different size, and `certify` with `squared`.
    """
    check_sets(x, y, equal_size=True)
    if certify and squared:
        raise UserError("certify=True proves Euclidean matchings only; leave out squared=True or certify=True")
    a, b = _rows_of_three(x), _rows_of_three(y)

    def one(i: int) -> tuple[np.ndarray, float, float]:
        return _dense(a[i], b[i], "sqeuclidean") if squared else _euclidean(a[i], b[i], certify)

    solved = pool.over_samples(one, range(len(a)))
    index = np.stack([s[0] for s in solved]) if solved else np.empty(x.shape[:2], np.int64)
    cost, dual = (torch.tensor([s[k] for s in solved], dtype=torch.float64, device=x.device) for k in (1, 2))
    return Matching(torch.from_numpy(index).to(x.device), cost, dual, cost - dual)


def _rows_of_three(points: Tensor) -> np.ndarray:
    """(b, n, 3) float64, contiguous: the plane gets a third coordinate 0."""
    wide = points.detach().to("cpu", torch.float64)
    return torch.nn.functional.pad(wide, (0, 3 - points.shape[-1])).contiguous().numpy()


def _euclidean(x: np.ndarray, y: np.ndarray, certify: bool) -> tuple[np.ndarray, float, float]:
    """Index, cost and dual (NaN unless `certify`) of one sample."""
    if not certify and dense_is_faster(x, y):
        return _dense(x, y, "euclidean")
    found = assign(x, y, np.inf if certify else effort(len(x)))
    if found is None:
        return _dense(x, y, "euclidean")
    cost = float(np.linalg.norm(x - y[found.index], axis=1).sum())
    return found.index, cost, dual_value(x, y, found.potential[1]) if certify else np.nan


def _dense(x: np.ndarray, y: np.ndarray, metric: str) -> tuple[np.ndarray, float, float]:
    cost, _, index = lap.lapjvr(cdist(x, y, metric))
    return index, cost, np.nan


def emd(x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"], squared: bool = False) -> Float[Tensor, " b"]:
    """Earth Mover's Distance per sample: the mean matched Euclidean distance under the best bijection.

    min over bijections f of 1/n sum_x |x - f(x)| (Fan et al. 2017, section 4.3, divided by n), in the coordinates'
    unit; `squared` gives the mean matched squared distance (W2 squared). The gradient runs through the fixed optimal
    matching to both sides, which is the true gradient wherever the matching is unique; it is 0 at distance 0.

    Raises:
        UserError: see `match`.
    """
    distance = ((x - gather_points(y, match(x, y, squared).index)) ** 2).sum(-1)
    return (distance if squared else safe_sqrt(distance)).mean(1)
