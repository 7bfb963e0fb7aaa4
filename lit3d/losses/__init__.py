"""Training losses: pure functions (pred ..., target ...) -> (b,), wired to predictions by `Term`."""

from lit3d.losses.chamfer_variants import dcd, hypercd, infocd
from lit3d.losses.depth import (
    berhu,
    edge_aware_smoothness,
    l1,
    l2,
    mask_bce,
    multi_scale_gradient,
    scale_and_shift_invariant,
    silog,
)
from lit3d.losses.depth_normals import depth_normal, depth_normal_consistency, normal_cosine, virtual_normal
from lit3d.losses.field import bce, truncated_sdf
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
    "Term", "bce", "berhu", "cd", "cd_l1", "check_sizes", "check_terms", "cotangent_smoothness", "dcd", "depth_normal",
    "depth_normal_consistency", "dihedral_smoothness", "edge_aware_smoothness", "emd", "emd_squared", "equal_edges",
    "hypercd", "infocd", "l1", "l2", "l2_ordered", "laplacian", "mask_bce", "mesh_normal", "move",
    "multi_scale_gradient", "needs_pairs", "normal_consistency", "normal_cosine", "of_best",
    "scale_and_shift_invariant", "silog", "sinkhorn", "sliced", "truncated_sdf", "try_terms",
    "uniform_edges", "uniform_smoothness", "virtual_normal",
]  # fmt: skip
