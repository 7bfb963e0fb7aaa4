"""From places and a code to values: the conditional decoders of occupancy fields."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lit3d.errors import UserError, did_you_mean


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


class FilmDecoder(nn.Module):
    """Residual blocks of modulated matrices: the same conditioning as CBN without its statistics, several times faster.

    `unit` multiplies the values: of signed distances, so that they begin about as large as they will be.

    Args:
        code: length of the code.
        half: half the side of the cube of places.
        width: channels.
        blocks: how many, of two matrices each.
        frequencies: octaves of sines and cosines beside the coordinates.
    """

    unit: float = 1.0

    def __init__(self, code: int, half: float, width: int = 128, blocks: int = 2, frequencies: int = 3) -> None:
        super().__init__()
        _check(width, blocks, frequencies)
        self.bound, self.frequencies = half, frequencies
        self.enter = ModulatedLinear(3 + 6 * frequencies, width, code)
        self.inner = nn.ModuleList(ModulatedLinear(width, width, code) for _ in range(blocks))
        self.outer = nn.ModuleList(ModulatedLinear(width, width, code) for _ in range(blocks))
        for layer in self.outer:
            nn.init.normal_(layer.weight, std=0.1 / math.sqrt(width))  # type: ignore[arg-type] # begin near identity
        self.leave = nn.Linear(width, 1)

    def forward(self, places: Float[Tensor, "b q 3"], code: Float[Tensor, "b c"]) -> Float[Tensor, "b q"]:
        """Values, float32 whatever the matrices ran in."""
        x = functional.relu(self.enter(encoded(places, self.bound, self.frequencies), code))
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


class CbnDecoder(nn.Module):
    """The decoder of Occupancy Networks: five residual blocks with conditional batch normalisation, 256 channels.

    Args:
        code: length of the code.
        half: half the side of the cube of places.
        width: channels.
        blocks: how many.
        frequencies: 0 in the paper.
    """

    unit: float = 1.0  # as of FilmDecoder

    def __init__(self, code: int, half: float, width: int = 256, blocks: int = 5, frequencies: int = 0) -> None:
        super().__init__()
        _check(width, blocks, frequencies)
        self.bound, self.frequencies = half, frequencies
        self.enter = nn.Linear(3 + 6 * frequencies, width)
        self.blocks = nn.ModuleList(ConditionalBlock(width, code) for _ in range(blocks))
        self.norm, self.leave = ConditionalNorm(width, code), nn.Linear(width, 1)

    def forward(self, places: Float[Tensor, "b q 3"], code: Float[Tensor, "b c"]) -> Float[Tensor, "b q"]:
        """Values, float32 whatever the matrices ran in."""
        x = self.enter(encoded(places, self.bound, self.frequencies))
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


def _check(width: int, blocks: int, frequencies: int) -> None:
    if min(width, blocks, frequencies + 1) < 1:
        raise UserError(
            f"width and blocks of a decoder must be at least 1, its frequencies at least 0, got {width}, {blocks} and "
            f"{frequencies}"
        )
