"""Networks: plain torch. Each is `forward(batch) -> structure` and declares `reads` and `predicts`."""

from lit3d.networks.depth import DepthNet
from lit3d.networks.encoders import (
    EfficientNetLite0Encoder,
    HubEncoder,
    PaperEncoder,
    ResNetEncoder,
    SmallEncoder,
)
from lit3d.networks.heads import FullyConnectedHead, HourglassHead, TwoBranchHead, UpconvolutionHead
from lit3d.networks.mesh_deform import MeshDeformNet
from lit3d.networks.occupancy import OccupancyNet
from lit3d.networks.pointset import PointSetNet
from lit3d.networks.refined import RefinedHead
from lit3d.networks.voxel import VoxelNet

__all__ = [
    "DepthNet",
    "EfficientNetLite0Encoder",
    "FullyConnectedHead",
    "HourglassHead",
    "HubEncoder",
    "MeshDeformNet",
    "OccupancyNet",
    "PaperEncoder",
    "PointSetNet",
    "RefinedHead",
    "ResNetEncoder",
    "SmallEncoder",
    "TwoBranchHead",
    "UpconvolutionHead",
    "VoxelNet",
]
