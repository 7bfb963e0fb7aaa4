"""Pure functions on tensors: usable from a notebook, without Lightning, Hydra or files."""

from lit3d.ops.camera import project, to_camera, to_target
from lit3d.ops.depth import edge_band, unproject, valid_depth
from lit3d.ops.depth_normals import normals_from_depth
from lit3d.ops.entropic import sinkhorn
from lit3d.ops.neighbours import chamfer, nearest
from lit3d.ops.sampling import farthest_point_subset, random_subset
from lit3d.ops.sliced import sliced_wasserstein
from lit3d.ops.transport import Matching, emd, match

__all__ = [
    "Matching",
    "chamfer",
    "edge_band",
    "emd",
    "farthest_point_subset",
    "match",
    "nearest",
    "normals_from_depth",
    "project",
    "random_subset",
    "sinkhorn",
    "sliced_wasserstein",
    "to_camera",
    "to_target",
    "unproject",
    "valid_depth",
]
