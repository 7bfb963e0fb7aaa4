"""Earth Mover's Distance: the exact assignment between two point sets of equal size."""

from dataclasses import dataclass

import lap
import torch
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist
from torch import Tensor

from lit3d.ops.checks import check_sets
from lit3d.ops.kernels import pool
from lit3d.ops.neighbours import gather_points, safe_sqrt


@dataclass(frozen=True)
class Matching:
    """A bijection for each sample: point i of the first set goes to point `index[b, i]` of the second."""

    index: Int[Tensor, "b n"]
    cost: Float[Tensor, " b"]  # sum of the matched Euclidean distances, float64


def match(x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"], squared: bool = False) -> Matching:
    """The exact bijection of least total Euclidean (or squared) distance; no gradient.

    Jonker-Volgenant on the dense float64 distance matrix of each sample, several samples at a time: O(n^3) in the
    worst case, 8 n^2 bytes a sample.

    Raises:
        UserError: what `nearest` refuses, and sets of different size.
    """
    check_sets(x, y, equal_size=True)
    a, b = (p.detach().to("cpu", torch.float64).numpy() for p in (x, y))
    metric = "sqeuclidean" if squared else "euclidean"
    solved = pool.over_samples(lambda i: lap.lapjvr(cdist(a[i], b[i], metric)), range(len(a)))
    index = torch.stack([torch.from_numpy(columns) for _, _, columns in solved])
    cost = torch.tensor([total for total, _, _ in solved], dtype=torch.float64)
    return Matching(index.to(x.device), cost.to(x.device))


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
