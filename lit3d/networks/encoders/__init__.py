"""Image encoders: an image becomes feature maps of falling resolution and one code vector."""

from lit3d.networks.encoders.efficientnet import EfficientNetLite0Encoder
from lit3d.networks.encoders.features import Features, as_channels_last, conv_block
from lit3d.networks.encoders.hub import HubEncoder
from lit3d.networks.encoders.paper import PaperEncoder
from lit3d.networks.encoders.resnet import ResNetEncoder
from lit3d.networks.encoders.small import SmallEncoder

__all__ = [
    "EfficientNetLite0Encoder",
    "Features",
    "HubEncoder",
    "PaperEncoder",
    "ResNetEncoder",
    "SmallEncoder",
    "as_channels_last",
    "conv_block",
]
