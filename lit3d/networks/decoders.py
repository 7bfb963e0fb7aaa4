"""From places and a code to values: the conditional decoders of occupancy fields."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lit3d.errors import UserError, did_you_mean
from lit3d.networks.pooling import perceptual_pooling, seen_by


def encoded(places: Float[Tensor, "b q 3"], half: float, frequencies: int) -> Float[Tensor, "b q d"]:
    """Places in units of the cube and sines and cosines of them, wavelengths from twice its side down by halves.

    With frequencies a network draws edges and thin parts sooner (Tancik et al. 2020); Occupancy Networks has none.
    """
    unit = places / half
    waves = [unit * (math.pi * 2 ** (k - 1)) for k in range(frequencies)]
    return torch.cat([unit, *(f(w) for w in waves for f in (torch.sin, torch.cos))], dim=-1)


class ModulatedLinear(nn.Module):
    """A matrix whose outputs a code scales and shifts: gamma(c) * (W x) + beta(c) (Perez et al. 2018, FiLM).

    The scale goes into the matrix of each sample, once, in place of every output: one product, and nothing else passes
    over all places. It begins as one for every code.
    """

    def __init__(self, inputs: int, outputs: int, code: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        self.scale, self.shift = nn.Linear(code, outputs), nn.Linear(code, outputs)
        nn.init.zeros_(self.scale.weight)
        nn.init.ones_(self.scale.bias)

    def forward(self, x: Float[Tensor, "b q i"], code: Float[Tensor, "b c"]) -> Float[Tensor, "b q o"]:
        """The same code for all places of a sample."""
        weight = self.weight * self.scale(code)[:, :, None]
        return torch.baddbmm(self.shift(code)[:, None].to(weight.dtype), x.to(weight.dtype), weight.transpose(1, 2))


class FieldDecoder(nn.Module):
    """What decoders have in common: (places, code) or, with `local`, (places, code, map, camera) -> values.

    `unit` multiplies the values: of signed distances, so that they begin about as large as they will be.

    Args:
        half: half the side of the cube of places.
        width: channels.
        blocks: how many.
        frequencies: octaves of sines and cosines beside the coordinates.
        local: channels of the map of features in which places are looked up where a camera sees them (Saito et al.
            2019, PIFu; Xu et al. 2019, DISN); 0: the code is all that is known of an image, as published.
    """

    unit: float = 1.0

    def __init__(self, half: float, width: int, blocks: int, frequencies: int, local: int) -> None:
        super().__init__()
        if min(width, blocks, frequencies + 1, local + 1) < 1:
            raise UserError(
                "width and blocks of a decoder must be at least 1, its frequencies and local channels at least 0, got "
                f"{width}, {blocks}, {frequencies} and {local}"
            )
        self.bound, self.frequencies, self.local = half, frequencies, local
        self.inputs = 3 + 6 * frequencies + local

    def known(self, places: Float[Tensor, "b q 3"], image: Sequence[Tensor]) -> Float[Tensor, "b q i"]:
        """What a decoder reads of each place: where it is, and what the image shows there.

        Args:
            places: in the target frame.
            image: with `local` a map (b, c, h, w) and a camera (b, 2, 4), see `ImagePooling`; else nothing.
        """
        x = encoded(places, self.bound, self.frequencies)
        if not self.local:
            return x
        features, camera = image
        return torch.cat([x, perceptual_pooling([features], seen_by(camera, places)).to(x.dtype)], dim=-1)


class FilmDecoder(FieldDecoder):
    """Residual blocks of modulated matrices: the same conditioning as CBN without its statistics, several times faster.

    Args:
        code: length of the code.
        half: half the side of the cube of places.
        width: channels.
        blocks: how many, of two matrices each.
        frequencies: octaves of sines and cosines beside the coordinates.
        local: channels of the map of features, see `FieldDecoder`.
    """

    def __init__(
        self, code: int, half: float, width: int = 128, blocks: int = 2, frequencies: int = 3, local: int = 0
    ) -> None:
        super().__init__(half, width, blocks, frequencies, local)
        self.enter = ModulatedLinear(self.inputs, width, code)
        self.inner = nn.ModuleList(ModulatedLinear(width, width, code) for _ in range(blocks))
        self.outer = nn.ModuleList(ModulatedLinear(width, width, code) for _ in range(blocks))
        for layer in self.outer:
            nn.init.normal_(layer.weight, std=0.1 / math.sqrt(width))  # type: ignore[arg-type] # begin near identity
        self.leave = nn.Linear(width, 1)

    def forward(
        self, places: Float[Tensor, "b q 3"], code: Float[Tensor, "b c"], *image: Tensor
    ) -> Float[Tensor, "b q"]:
        """Values, float32 whatever the matrices ran in."""
        x = functional.relu(self.enter(self.known(places, image), code))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = functional.relu(x + outer(functional.relu(inner(x, code)), code))
        return self.unit * _last(self.leave, x)


class ConditionalNorm(nn.Module):
    """Batch normalisation whose scale and shift come from the code (Mescheder et al. 2019, supplement)."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.scale, self.shift = nn.Linear(code, channels), nn.Linear(code, channels)
        for layer in (self.scale, self.shift):
            nn.init.zeros_(layer.weight)
        nn.init.ones_(self.scale.bias)
        nn.init.zeros_(self.shift.bias)

    def forward(self, x: Float[Tensor, "b q c"], code: Float[Tensor, "b k"]) -> Float[Tensor, "b q c"]:
        """Statistics are those of all places of the batch; in evaluation the running ones."""
        normal = self.norm(x.flatten(0, 1)).view_as(x)
        return torch.addcmul(self.shift(code)[:, None].to(x.dtype), normal, self.scale(code)[:, None].to(x.dtype))


class ConditionalBlock(nn.Module):
    """CBN, ReLU, matrix, CBN, ReLU, matrix that begins as zero, and the input added."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ConditionalNorm(width, code) for _ in range(2))
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Float[Tensor, "b q w"], code: Float[Tensor, "b c"]) -> Float[Tensor, "b q w"]:
        """The block's own matrices see each place alone."""
        inner = self.first(functional.relu(self.norms[0](x, code)))
        return x + self.second(functional.relu(self.norms[1](inner, code)))


class CbnDecoder(FieldDecoder):
    """The decoder of Occupancy Networks: five residual blocks with conditional batch normalisation, 256 channels.

    Args:
        code: length of the code.
        half: half the side of the cube of places.
        width: channels.
        blocks: how many.
        frequencies: 0 in the paper.
        local: 0 in the paper; channels of the map of features, see `FieldDecoder`.
    """

    def __init__(
        self, code: int, half: float, width: int = 256, blocks: int = 5, frequencies: int = 0, local: int = 0
    ) -> None:
        super().__init__(half, width, blocks, frequencies, local)
        self.enter = nn.Linear(self.inputs, width)
        self.blocks = nn.ModuleList(ConditionalBlock(width, code) for _ in range(blocks))
        self.norm, self.leave = ConditionalNorm(width, code), nn.Linear(width, 1)

    def forward(
        self, places: Float[Tensor, "b q 3"], code: Float[Tensor, "b c"], *image: Tensor
    ) -> Float[Tensor, "b q"]:
        """Values, float32 whatever the matrices ran in."""
        x = self.enter(self.known(places, image))
        for block in self.blocks:
            x = block(x, code)
        return self.unit * _last(self.leave, functional.relu(self.norm(x, code)))


DECODERS = {"film": FilmDecoder, "cbn": CbnDecoder}


def decoder(condition: str, **options: float | int) -> nn.Module:
    """A decoder by name.

    Raises:
        UserError: no such name.
    """
    if condition not in DECODERS:
        advice = did_you_mean(str(condition), DECODERS)
        raise UserError(f"model.condition must be one of {', '.join(DECODERS)}, got '{condition}'.{advice}")
    return DECODERS[condition](**options)  # type: ignore[arg-type]


def _last(layer: nn.Linear, x: Tensor) -> Tensor:
    """Values in float32: bfloat16 has steps of 1 % of a logit."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())[..., 0]

