"""Image -> implicit field (Mescheder et al. 2019, Occupancy Networks)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.camera import code_size, encode, reads_with
from lit3d.networks.decoders import decoder
from lit3d.networks.pooling import ImagePooling
from lit3d.ops.isosurface import check_size
from lit3d.structures import OccupancyField

FIELDS = ("occupancy", "sdf")
DISTANCE = 0.1  # a usual distance to the surface, where it is cut off
# An object's cube; turned as cameras see them, 99 of 100 objects lie whole within the second, and of the others a
# corner sticks out (0.87 would hold any, and make every voxel and cell a sixth larger).
HALVES = {"object": 0.55, "viewer": 0.75}


def half_of(half: float | None, frame: str) -> float:
    """Half the side of the cube that a field or a grid covers; None: by the frame.

    Raises:
        UserError: it is not above 0.
    """
    chosen = HALVES[frame] if half is None else half
    if not chosen > 0:
        raise UserError(f"model.half, half the side of the cube that is predicted, must be above 0, got {half}")
    return float(chosen)


class OccupancyNet(nn.Module):
    """Encoder and conditional decoder: reads `image`, predicts an `OccupancyField`.

    Where a batch has `queries`, losses read the field's values there: `logits`, or `distance` with field=sdf.

    Args:
        encoder: image -> `Features`, whose code the decoder is conditioned on.
        field: occupancy: logits of being inside, threshold tuned on validation; sdf: signed distances, positive inside,
            in longest sides; the surface is at 0.
        condition: film, or cbn as published.
        width: channels of the decoder.
        blocks: of the decoder.
        frequencies: octaves of sines and cosines beside the coordinates; 0 as published.
        local: channels of the encoder's maps, added up at the size of the finest, in which each place finds what the
            image shows where it is seen; 0 as published: the code is all that the decoder knows.
        maps: how many of the encoder's maps are added up, from the finest on.
        half: half the side of the cube where the surface is looked for; None: 0.75 in the frame viewer, 0.55 in object.
        frame: viewer or object, for that.
        resolution: cells a side of the grid whose surface is extracted: up to 32, or that times a power of two.
        refine: Newton steps of extracted vertices along the field's gradient.
        camera: nominal, or known: that of each image is appended to the code.

    Raises:
        UserError: another word for `field` or `condition`, numbers that cannot be, or a grid that would not fit into
            memory.
    """

    predicts: ClassVar[type[OccupancyField]] = OccupancyField
    level: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        field: str = "occupancy",
        condition: str = "film",
        width: int = 128,
        blocks: int = 2,
        frequencies: int = 3,
        local: int = 0,
        maps: int = 4,
        half: float | None = None,
        frame: str = "viewer",
        resolution: int = 64,
        refine: int = 0,
        camera: str = "nominal",
    ) -> None:
        super().__init__()
        if field not in FIELDS:
            raise UserError(f"model.field must be {' or '.join(FIELDS)}, got '{field}'")
        cells = resolution
        while cells > 32 and cells % 2 == 0:
            cells //= 2
        if not 2 <= cells <= 32 or refine < 0:
            raise UserError(
                "model.resolution must be 2 to 32, or that times a power of two, and model.refine at least 0, got "
                f"{resolution} and {refine}"
            )
        check_size(1, resolution)
        self.encoder, self.camera, self.reads = encoder, camera, reads_with(camera)
        self.field, self.resolution, self.refine, self.bound = field, resolution, refine, half_of(half, frame)
        code = code_size(encoder, camera)
        self.decoder = decoder(
            condition, code=code, half=self.bound, width=width, blocks=blocks, frequencies=frequencies, local=local
        )
        self.pooling = ImagePooling(code, encoder.map_channels, maps, local) if local else None  # type: ignore[arg-type]
        self.decoder.unit = DISTANCE if field == "sdf" else 1.0  # type: ignore[assignment]
        self.register_buffer("level", torch.zeros(()))

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the structure's tensors that are filled."""
        return ("logits",) if self.field == "occupancy" else ("distance",)

    def forward(self, batch: Mapping[str, Any]) -> OccupancyField:
        """Only what the decoder knows of each image is computed here: it runs where the field is asked."""
        features = encode(self.encoder, batch, self.camera)
        known: tuple[Tensor, ...] = (features.code,)
        if self.pooling is not None:
            known = (features.code, self.pooling.summed(features.maps), self.pooling.camera_of(features.code))
        return OccupancyField(
            self.level.expand(len(features.code)), self.bound, known, self.decoder, resolution=self.resolution,
            refine=self.refine, queries=batch.get("queries"),
        )  # fmt: skip

    def code(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c"]:
        """What the encoder makes of each image: retrieval by features compares these."""
        return self.encoder(batch["image"]).code
