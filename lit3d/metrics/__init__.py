"""Scores: per-sample functions, and thin torchmetrics classes that average them."""

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
    "PROTOCOLS", "ChamferDistance", "EarthMoversDistance", "FScore", "MeshMetrics", "NormalConsistency", "Precision",
    "Protocol", "Recall", "SampleMean", "ScoreTable", "SetMetrics", "SetScore", "chamfer_l1", "chamfer_l2sq",
    "coverage", "distances", "diversity", "emd", "fscore", "normal_consistency", "precision", "recall", "score_mesh",
    "score_points", "score_protocols",
]  # fmt: skip
