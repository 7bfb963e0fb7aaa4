"""The only LightningModules."""

from lit3d.modules.base import CHECKPOINT_FORMAT, ReconstructionModule
from lit3d.modules.depth import DepthModule
from lit3d.modules.field import FieldModule, OccupancyModule, VoxelModule
from lit3d.modules.free_points import FreePointsModule
from lit3d.modules.given import GivenModule
from lit3d.modules.mesh_deform import MeshDeformModule
from lit3d.modules.optimizers import MuonAdamW
from lit3d.modules.pointset import PointSetModule
from lit3d.modules.schedules import constant, cosine, one_cycle, step, warmup_cosine

__all__ = [
    "CHECKPOINT_FORMAT",
    "DepthModule",
    "FieldModule",
    "FreePointsModule",
    "GivenModule",
    "MeshDeformModule",
    "MuonAdamW",
    "OccupancyModule",
    "PointSetModule",
    "ReconstructionModule",
    "VoxelModule",
    "constant",
    "cosine",
    "one_cycle",
    "step",
    "warmup_cosine",
]
