"""Image -> depth map, and by choice normals and a mask: a fully convolutional encoder-decoder with skip connections."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lit3d.errors import UserError, did_you_mean
from lit3d.networks.camera import code_size, encode, reads_with
from lit3d.networks.encoders import Features, as_channels_last, conv_block
from lit3d.structures import DepthMap

STRIDE = 32  # images are padded to multiples of it, so that maps of all levels lie exactly above each other
SMALLEST, LARGEST = 0.01, 100.0  # depths in units of the nominal one: logarithms and inverses stay finite
PARAMETRISATIONS = ("linear", "log", "inverse")


class DepthDecoder(nn.Module):
    """An encoder's maps and the image itself -> one map at full resolution.

    Each level raises the resolution (nearest neighbour, then a 3 x 3 convolution: a transposed one leaves a
    checkerboard, which would be bumps of the surface) and adds the encoder's map of that size; the last adds the image.
    Skip connections: Ronneberger et al. 2015, U-Net; sums in place of concatenations: Lin et al. 2017, Feature Pyramid
    Networks.

    Args:
        code_size: length of the encoder's code, which tells every pixel about the whole image.
        map_channels: channels of the encoder's maps, fine to coarse.
        finest: channels at full resolution.
        widest: the most channels of a level.
    """

    def __init__(self, code_size: int, map_channels: Sequence[int], finest: int = 16, widest: int = 128) -> None:
        super().__init__()
        coarse_to_fine = list(reversed(map_channels))
        widths = [min(widest, c) for c in coarse_to_fine[1:]] + [finest]
        before = [min(widest, coarse_to_fine[0]), *widths[:-1]]
        self.enter = nn.Conv2d(coarse_to_fine[0], before[0], 1)
        self.from_code = nn.Linear(code_size, before[0])
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(before, widths, strict=True))
        skips = [nn.Conv2d(c, w, 1) for c, w in zip(coarse_to_fine[1:], widths, strict=False)]
        self.skip = nn.ModuleList([*skips, nn.Conv2d(3, finest, 1)])
        self.fuse = nn.ModuleList(conv_block(w, w, 1) for w in widths)
        as_channels_last(self)

    def forward(self, features: Features, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h w"]:
        """Features of an image, and the image."""
        *finer, coarsest = features.maps
        x = functional.relu(self.enter(coarsest) + self.from_code(features.code)[..., None, None])
        finer_first = [*reversed(finer), image.contiguous(memory_format=torch.channels_last)]
        for narrow, skip, fuse, before in zip(self.narrow, self.skip, self.fuse, finer_first, strict=True):
            raised = functional.interpolate(narrow(x), before.shape[-2:])
            x = fuse(raised + skip(before))
        return x


class DepthNet(nn.Module):
    """Encoder and decoder: reads `image`, predicts a `DepthMap` at its resolution, for images of any size.

    Depth is camera z, `nominal` at the start: of the raw output x it is nominal (1 + x), nominal exp(x) or
    nominal / (1 + x), kept within `SMALLEST` and `LARGEST` times the nominal depth. The camera of the batch, and its
    mask where none is predicted, go into the structure (`carries`), which needs them to put pixels into space; no
    weight reads them, unless the camera is `known`.

    Args:
        encoder: image -> `Features`, of a kind that takes images of any size (model.code=0).
        normals: whether normals in camera axes are predicted beside depth.
        mask: whether a mask is predicted; else that of the batch is taken.
        parametrisation: linear, log or inverse.
        nominal: a depth to begin with; `DepthModule` sets the mean distance of the training cameras.
        finest: channels of the decoder at full resolution.
        widest: the most channels of one of its levels.
        camera: nominal, or known: that of each image is appended to the code.

    Raises:
        UserError: an unknown parametrisation, or a nominal depth that is not above 0.
    """

    predicts: ClassVar[type[DepthMap]] = DepthMap

    nominal: Tensor

    def __init__(
        self, encoder: nn.Module, normals: bool = False, mask: bool = True, parametrisation: str = "log",
        nominal: float = 2.0, finest: int = 16, widest: int = 128, camera: str = "nominal",
    ) -> None:  # fmt: skip
        super().__init__()
        if parametrisation not in PARAMETRISATIONS:
            advice = did_you_mean(str(parametrisation), PARAMETRISATIONS)
            known = ", ".join(PARAMETRISATIONS)
            raise UserError(f"model.parametrisation must be one of {known}, got '{parametrisation}'.{advice}")
        if not nominal > 0:
            raise UserError(f"the nominal depth of a network must be above 0, got {nominal}")
        self.encoder, self.camera, self.reads = encoder, camera, reads_with(camera)
        self.parametrisation, self.sizes = parametrisation, (1, 3 * normals, int(mask))
        length, map_channels = code_size(encoder, camera), encoder.map_channels
        self.decoder = DepthDecoder(length, map_channels, finest, widest)  # type: ignore[arg-type]
        self.heads = nn.Conv2d(finest, sum(self.sizes), 3, padding=1)
        with torch.no_grad():  # begin as a flat sheet at the nominal depth that faces the camera, all of it object
            self.heads.weight.mul_(0.03)
            self.heads.bias.zero_()  # type: ignore[union-attr]
            if normals:
                self.heads.bias[3] = -1.0  # type: ignore[index]
            if mask:
                self.heads.bias[-1] = 1.0  # type: ignore[index]
        self.register_buffer("nominal", torch.tensor(float(nominal)))

    @property
    def carries(self) -> tuple[str, ...]:
        """Keys of the batch that go into the prediction as they are."""
        return ("intrinsics", "pose") if self.sizes[2] else ("intrinsics", "pose", "mask")

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the structure's tensors that are filled."""
        chosen = {"depth": 1, "normal": self.sizes[1], "mask_logits": self.sizes[2], "visible_points": 1}
        return tuple(name for name in self.predicts.tensors if chosen[name])

    def forward(self, batch: Mapping[str, Any]) -> DepthMap:
        """Every pixel of an image (b, 3, h, w)."""
        image = batch["image"]
        raw = self._raw(batch)
        raw_depth, normal, logits = raw.split(self.sizes, dim=1)
        camera = {k: batch[k] for k in ("intrinsics", "pose") if k in batch}
        if self.sizes[2]:
            mask = logits.detach() > 0
        else:
            mask = batch["mask"] if "mask" in batch else torch.ones_like(raw_depth, dtype=torch.bool)
        return DepthMap(
            depth=depth_of(raw_depth, self.parametrisation, self.nominal), mask=mask,
            normal=functional.normalize(normal, dim=1) if self.sizes[1] else None,
            mask_logits=logits if self.sizes[2] else None, image=image, **camera,
        )  # fmt: skip

    def _raw(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c h w"]:
        image = batch["image"]
        h, w = image.shape[-2:]
        whole = h % STRIDE == 0 and w % STRIDE == 0
        padded = image if whole else functional.pad(image, (0, -w % STRIDE, 0, -h % STRIDE), mode="replicate")
        x = self.decoder(encode(self.encoder, {**batch, "image": padded}, self.camera), padded)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 has steps of 1 % of a depth
            return self.heads(x.float())[..., :h, :w]

    def code(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c"]:
        """What the encoder makes of each image: retrieval by features compares these."""
        return self.encoder(batch["image"]).code


def depth_of(raw: Tensor, parametrisation: str, nominal: Tensor) -> Tensor:
    """Depth of a raw output, see `DepthNet`."""
    if parametrisation == "log":
        relative = raw.clamp(-4.6, 4.6).exp()
    elif parametrisation == "linear":
        relative = (1 + raw).clamp(SMALLEST, LARGEST)
    else:
        relative = 1 / (1 + raw).clamp(1 / LARGEST, 1 / SMALLEST)
    return nominal * relative
