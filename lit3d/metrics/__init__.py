"""Scores: per-sample functions, and thin torchmetrics classes that average them."""

from lit3d.metrics.depth import depth_failure, depth_scores
from lit3d.metrics.depth_map import DepthMetrics
from lit3d.metrics.depth_shape import (
    boundary_f1,
    flying_pixels,
    mask_iou,
    normal_scores,
    visible_chamfer_l1,
)
from lit3d.metrics.field import FieldMetrics, iou_of, volumetric_iou
from lit3d.metrics.hypotheses import coverage, diversity
from lit3d.metrics.mesh_quality import score_mesh
from lit3d.metrics.meshes import MeshMetrics
from lit3d.metrics.point_sets import (
    chamfer_l1,
    chamfer_l2sq,
    distances,
    emd,
    fscore,
    normal_consistency,
    precision,
    recall,
    score_points,
)
from lit3d.metrics.predictions import SetMetrics
from lit3d.metrics.protocols import PROTOCOLS, Protocol, score_protocols
from lit3d.metrics.running import (
    ChamferDistance,
    EarthMoversDistance,
    FScore,
    NormalConsistency,
    Precision,
    Recall,
    SampleMean,
    ScoreTable,
    SetScore,
)

__all__ = [
    "PROTOCOLS", "ChamferDistance", "DepthMetrics", "EarthMoversDistance", "FScore", "FieldMetrics", "MeshMetrics",
    "NormalConsistency", "Precision", "Protocol", "Recall", "SampleMean", "ScoreTable", "SetMetrics", "SetScore",
    "boundary_f1", "chamfer_l1", "chamfer_l2sq", "coverage", "depth_failure", "depth_scores", "distances",
    "diversity", "emd", "flying_pixels", "fscore", "iou_of", "mask_iou", "normal_consistency", "normal_scores",
    "precision", "recall", "score_mesh", "score_points", "score_protocols", "visible_chamfer_l1", "volumetric_iou",
]  # fmt: skip
