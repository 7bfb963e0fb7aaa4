"""What a network predicts, in the target frame: frozen dataclasses of batched tensors."""

from lit3d.structures.base import Structure
from lit3d.structures.depth_map import DepthMap
from lit3d.structures.field import OccupancyField, Solid, VoxelGrid
from lit3d.structures.mesh import Mesh
from lit3d.structures.point_set import PointSet

__all__ = ["DepthMap", "Mesh", "OccupancyField", "PointSet", "Solid", "Structure", "VoxelGrid"]
