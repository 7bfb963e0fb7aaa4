"""What every encoder returns and heads read, and how an image enters a network."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Features(NamedTuple):
    """The contract of encoders, which say `code_size` and `map_channels` (one number a map) beforehand.

    An encoder that reads weights from elsewhere also says in `rebuild` which arguments build it without them: a
    checkpoint keeps these beside the weights, so that it loads where their source is gone.
    """

    code: Float[Tensor, "b c"]
    maps: list[Tensor]  # (b, c_i, h_i, w_i), fine to coarse; transformers give several of one size


def conv_block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def code_layers(inputs: int, code: int) -> nn.Module:
    """The last map -> a code of `code` numbers by one fully connected layer; 0: its mean over pixels."""
    if not code:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, code), nn.ReLU(inplace=True))


def as_channels_last(module: nn.Module) -> None:
    """Store convolutions' weights with channels last: on CPUs a step was measured 15 x faster than in NCHW."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def standardised(
    image: Float[Tensor, "b 3 h w"], mean: Sequence[float] = (0.5,), std: Sequence[float] = (1.0,)
) -> Float[Tensor, "b 3 h w"]:
    """(image - mean) / std per channel, channels last in memory; by default only centred."""
    shift, scale = (image.new_tensor(list(v)).reshape(1, -1, 1, 1) for v in (mean, std))
    return ((image - shift) / scale).contiguous(memory_format=torch.channels_last)


def sides(image_size: int | Sequence[int]) -> tuple[int, int]:
    """(h, w) of a size given as one number or as two."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width
