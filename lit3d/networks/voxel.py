"""Image -> voxels by deconvolution of a code (Choy et al. 2016, 3D-R2N2, with one view)."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.camera import code_size, encode, reads_with
from lit3d.networks.occupancy import half_of
from lit3d.structures import VoxelGrid

LEAST, MOST = 16, 64  # voxels a side
REACH = math.sqrt(3) / 2  # no place of an object whose longest side is 1 is farther from its centre
EMPTY = -10.0  # logit of voxels that no such place reads
RARE = -2.0  # logit that all others begin with, before anything is known of the image: most of space is empty


class DeconvolutionHead(nn.Module):
    """Code -> r^3 logits: a small grid from one matrix, then transposed 3D convolutions that double its side.

    The last of them gives logits: a further convolution at full resolution was measured to take most of a step. It
    begins as zero, with a bias that says empty (Lin et al. 2017, Focal Loss, section 3.3, for rare classes): random
    logits stay for long where few queries are, at the border, as specks. A side that is no power of two times the first
    one is cut out of the next that is.

    Args:
        code: length of the code.
        resolution: r.
        channels: of the grids before each doubling, coarse to fine; the last ones, as many as there are doublings.
    """

    def __init__(self, code: int, resolution: int = 32, channels: Sequence[int] = (256, 128, 64, 32)) -> None:
        super().__init__()
        if not LEAST <= resolution <= MOST:
            raise UserError(f"model.resolution of voxels must be from {LEAST} to {MOST}, got {resolution}")
        doublings = next(k for k in (2, 3, 4) if resolution <= 4 * 2**k)
        if len(channels) < doublings or min(channels) < 1:
            raise UserError(
                f"model.network.channels must be at least {doublings} numbers above 0 for {resolution} voxels a side, "
                f"got {list(channels)}"
            )
        widths = list(channels)[-doublings:]
        self.resolution, self.start = resolution, -(-resolution // 2**doublings)
        self.enter = nn.Linear(code, widths[0] * self.start**3)
        self.levels = nn.Sequential(*(_doubling(a, b) for a, b in pairwise(widths)))
        self.leave = nn.ConvTranspose3d(widths[-1], 1, 4, 2, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.constant_(self.leave.bias, RARE)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # half the time of a step

    def forward(self, code: Float[Tensor, "b c"]) -> Float[Tensor, "b r r r"]:
        """Logits, float32 whatever the convolutions ran in."""
        x = self.enter(code).relu().unflatten(1, (-1, *(self.start,) * 3))
        x = self.levels(x.contiguous(memory_format=torch.channels_last_3d))
        r = self.resolution
        with torch.autocast(x.device.type, enabled=False):
            return self.leave(x.float())[:, 0, :r, :r, :r].contiguous()


def _doubling(inputs: int, outputs: int) -> nn.Sequential:
    layer = nn.ConvTranspose3d(inputs, outputs, 4, 2, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True))


class VoxelNet(nn.Module):
    """Encoder and deconvolution: reads `image`, predicts a `VoxelGrid`.

    The field between the voxels' centres is interpolated, so that the same queries and the same loss train it as an
    occupancy field: `logits` are its values at the batch's `queries`.

    Args:
        encoder: image -> `Features`.
        resolution: voxels a side, 16 to 64.
        channels: of `DeconvolutionHead`.
        half: half the side of the cube that the voxels fill; None: 0.75 in the frame viewer, 0.55 in object.
        frame: viewer or object, for that.
        camera: nominal, or known: that of each image is appended to the code.
    """

    predicts: ClassVar[type[VoxelGrid]] = VoxelGrid
    field: ClassVar[str] = "occupancy"
    level: Tensor
    corners: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        resolution: int = 32,
        channels: Sequence[int] = (256, 128, 64, 32),
        half: float | None = None,
        frame: str = "viewer",
        camera: str = "nominal",
    ) -> None:
        super().__init__()
        self.encoder, self.camera, self.reads = encoder, camera, reads_with(camera)
        self.resolution, self.bound = resolution, half_of(half, frame)
        self.head = DeconvolutionHead(code_size(encoder, camera), resolution, channels)
        self.register_buffer("level", torch.zeros(()))
        squares = (((torch.arange(resolution) + 0.5) / resolution * 2 - 1) * self.bound).square()
        away = (squares[:, None, None] + squares[:, None] + squares).sqrt()
        read_from = math.sqrt(3) * 2 * self.bound / resolution  # the diagonal of a voxel: interpolation looks so far
        self.register_buffer("corners", away > REACH + read_from, persistent=False)

    def forward(self, batch: Mapping[str, Any]) -> VoxelGrid:
        """All voxels of an image."""
        grid = self.head(encode(self.encoder, batch, self.camera).code)
        grid = grid.masked_fill(self.corners, EMPTY)
        return VoxelGrid(self.level.expand(grid.shape[0]), self.bound, grid, queries=batch.get("queries"))

    def code(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c"]:
        """What the encoder makes of each image: retrieval by features compares these."""
        return self.encoder(batch["image"]).code
