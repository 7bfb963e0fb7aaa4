"""Training losses: pure functions (pred, target) -> (b,), wired to predictions by `Term`."""

from lit3d.losses.chamfer_variants import dcd, hypercd, infocd
from lit3d.losses.mesh import (
    cotangent_smoothness,
    dihedral_smoothness,
    equal_edges,
    laplacian,
    mesh_normal,
    move,
    normal_consistency,
    uniform_edges,
    uniform_smoothness,
)
from lit3d.losses.point_sets import cd, cd_l1, emd, emd_squared, l2_ordered, sinkhorn, sliced
from lit3d.losses.terms import Term, check_terms, of_best
from lit3d.losses.trial import check_sizes, needs_pairs, try_terms

__all__ = [
    "Term", "cd", "cd_l1", "check_sizes", "check_terms", "cotangent_smoothness", "dcd", "dihedral_smoothness", "emd",
    "emd_squared", "equal_edges", "hypercd", "infocd", "l2_ordered", "laplacian", "mesh_normal", "move", "needs_pairs",
    "normal_consistency", "of_best", "sinkhorn", "sliced", "try_terms", "uniform_edges", "uniform_smoothness",
]  # fmt: skip
