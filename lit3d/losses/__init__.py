"""Training losses: pure functions (pred, target) -> (b,), wired to predictions by `Term`."""

from lit3d.losses.point_sets import cd, emd, l2_ordered
from lit3d.losses.terms import Term, check_terms, of_best

__all__ = ["Term", "cd", "check_terms", "emd", "l2_ordered", "of_best"]
