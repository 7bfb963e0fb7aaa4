"""Networks: plain torch. Each is `forward(batch) -> structure` and declares `reads` and `predicts`."""

from lit3d.networks.encoders import SmallEncoder
from lit3d.networks.pointset import FullyConnectedHead, PointSetNet

__all__ = ["FullyConnectedHead", "PointSetNet", "SmallEncoder"]
