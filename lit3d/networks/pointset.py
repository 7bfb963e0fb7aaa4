"""Image -> unordered point set (Fan, Su, Guibas 2017, Point Set Generation Network)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit3d.errors import UserError
from lit3d.networks.camera import code_size, encode, reads_with
from lit3d.networks.encoders import Features
from lit3d.structures import PointSet

LENGTH = 16  # of the random vector, unless it is given


class PointSetNet(nn.Module):
    """Encoder and head: reads `image`, predicts a `PointSet`.

    With `noise`, a standard normal vector is appended to the encoder's code (r of equation 3 in the paper, which feeds
    it to the encoder): one image has many answers. A batch may bring it as `noise` (b, noise), or several as (b, k,
    noise), for which the prediction has `hypotheses`; else it is the first of the fixed ones that `fixed_noise` gives.

    Args:
        encoder: image -> `Features`.
        head: a function (points, code_size, map_channels) -> module that maps `Features` to (b, n, 3); see `heads`.
        points: n, at least 1.
        noise: length of the random vector; 0: none; None: `LENGTH` where there are several hypotheses, else none.
        hypotheses: random vectors, so answers, that training draws for an image; docs/several_answers.md.
        camera: nominal: the head knows none; known: that of each image is appended to the code.

    Raises:
        UserError: n < 1, noise < 0, hypotheses < 1, or several of them without a random vector.
    """

    predicts: ClassVar[type[PointSet]] = PointSet

    def __init__(
        self, encoder: nn.Module, head: Any, points: int = 1024, noise: int | None = 0, hypotheses: int = 1,
        camera: str = "nominal",
    ) -> None:  # fmt: skip
        super().__init__()
        if hypotheses < 1:
            raise UserError(f"model.hypotheses is the number of answers in training, at least 1, got {hypotheses}")
        noise = (LENGTH if hypotheses > 1 else 0) if noise is None else noise
        if points < 1:
            raise UserError(f"model.points must be at least 1, got {points}")
        if noise < 0:
            raise UserError(f"model.noise is the length of a random vector, at least 0, got {noise}")
        if hypotheses > 1 and not noise:
            raise UserError(
                f"model.hypotheses={hypotheses} answers differ by a random vector, but model.noise is 0: leave "
                "model.noise out, or make it at least 1"
            )
        self.encoder, self.noise, self.drawn = encoder, noise, hypotheses
        self.camera, self.reads = camera, reads_with(camera)
        length = code_size(encoder, camera) + noise
        self.head = head(points=points, code_size=length, map_channels=encoder.map_channels)

    def forward(self, batch: Mapping[str, Any]) -> PointSet:
        """Batch with `image` (b, 3, h, w) in [0, 1] -> points (b, n, 3) in the target frame."""
        if not self.noise:
            return PointSet(self.head(encode(self.encoder, batch, self.camera)))
        image = batch["image"]
        noise = batch["noise"] if "noise" in batch else fixed_noise(1, self.noise).to(image).expand(len(image), -1)
        if noise.ndim == 2:
            return PointSet(self._answers(batch, noise[:, None])[:, 0])
        answers = self._answers(batch, noise)
        return PointSet(answers[:, 0].contiguous(), hypotheses=answers)

    def hypotheses(
        self, image: Float[Tensor, "b 3 h w"], noise: Float[Tensor, "b k z"] | int
    ) -> Float[Tensor, "b k n 3"]:
        """Several answers for each image, which is encoded once.

        Args:
            image: in [0, 1].
            noise: k random vectors of each image, or k itself: the first k fixed ones, the same for all images.

        Raises:
            UserError: the network reads no random vector, or one of another length, or a camera beside the image.
        """
        if isinstance(noise, int):
            noise = fixed_noise(noise, self.noise).to(image).expand(len(image), -1, -1)
        return self._answers({"image": image}, noise)

    def _answers(self, batch: Mapping[str, Any], noise: Float[Tensor, "b k z"]) -> Float[Tensor, "b k n 3"]:
        k, length = noise.shape[1:]
        if length != self.noise or not self.noise:
            raise UserError(
                f"this network was made for random vectors of length {self.noise}, got {length}: "
                "several answers need model.noise above 0"
            )
        code, maps = encode(self.encoder, batch, self.camera)
        code = torch.cat([code.repeat_interleave(k, 0), noise.flatten(0, 1).to(code.dtype)], dim=1)
        maps = [m.repeat_interleave(k, 0) for m in maps] if k > 1 else maps
        return self.head(Features(code, maps)).unflatten(0, (-1, k))

    def code(self, batch: Mapping[str, Any]) -> Float[Tensor, "b c"]:
        """What the encoder makes of each image: retrieval by features compares these."""
        return self.encoder(batch["image"]).code


def in_pairs(drawn: Float[Tensor, "*b h z"], count: int) -> Float[Tensor, "*b k z"]:
    """The `count` = 2 h or 2 h - 1 vectors r_1, -r_1, r_2, -r_2 ... of h drawn ones.

    Each is as normal as the drawn ones. A network tells two shapes apart by the side of a plane that its random vector
    is on: of a pair, one is on either side, where of two independent vectors half the time both are on the same.
    """
    return torch.stack([drawn, -drawn], dim=-2).flatten(-3, -2)[..., :count, :]


def fixed_noise(count: int, length: int) -> Float[Tensor, "k z"]:
    """The vectors of evaluation, `in_pairs`; vector i depends on neither `count` nor any generator outside."""
    half = range((count + 1) // 2)
    drawn = torch.stack([torch.randn(length, generator=torch.Generator().manual_seed(i)) for i in half])
    return in_pairs(drawn, count)
