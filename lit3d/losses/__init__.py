"""Training losses: pure functions (pred, target) -> (b,), wired to predictions by `Term`."""

from lit3d.losses.chamfer_variants import dcd, hypercd, infocd
from lit3d.losses.point_sets import cd, cd_l1, emd, emd_squared, l2_ordered, sinkhorn, sliced
from lit3d.losses.terms import Term, check_terms, of_best
from lit3d.losses.trial import check_sizes, needs_pairs, try_terms

__all__ = [
    "Term", "cd", "cd_l1", "check_sizes", "check_terms", "dcd", "emd", "emd_squared", "hypercd", "infocd", "l2_ordered",
    "needs_pairs", "of_best", "sinkhorn", "sliced", "try_terms",
]  # fmt: skip
