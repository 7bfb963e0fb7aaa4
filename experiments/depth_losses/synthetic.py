"""Two scenes without a network: an edge of uncertain position, and errors of equal size but different direction."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d import losses, ops
from lit3d.metrics.depth_shape import angles

NEAR, FAR = 1.0, 1.5
FOCAL, SIZE = 70.0, 64


class Edge(NamedTuple):
    """A row of pixels across a depth edge, for each of several images that look the same."""

    truths: Float[Tensor, "k 1 1 w"]
    fitted: dict[str, Float[Tensor, " w"]]  # the one row that has the least mean loss over them, by loss


def uncertain_edge(width: int = 24, images: int = 41, spread: float = 3.5) -> Edge:
    """The edge lies anywhere within `spread` pixels of the middle, nearer the middle more often (a triangle)."""
    quantile = (torch.arange(images, dtype=torch.float64) + 0.5) / images
    side = torch.where(quantile < 0.5, (2 * quantile).sqrt() - 1, 1 - (2 - 2 * quantile).sqrt())
    place = width / 2 + spread * side
    pixel = torch.arange(width, dtype=torch.float64) + 0.5
    truths = torch.where(pixel < place[:, None], NEAR, FAR)[:, None, None]
    return Edge(truths, {name: minimiser(getattr(losses, name), truths) for name in ("l2", "l1", "berhu", "silog")})


def minimiser(loss: object, truths: Float[Tensor, "k 1 1 w"], steps: int = 600) -> Float[Tensor, " w"]:
    """The row of least mean loss by Adam, from halfway between the surfaces, with steps that shrink."""
    row = torch.full_like(truths[0], (NEAR + FAR) / 2, requires_grad=True)
    optimiser = torch.optim.Adam([row], lr=0.02)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: (1 - step / steps) ** 2)
    mask = torch.ones_like(truths, dtype=torch.bool)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(row.expand_as(truths), truths, mask).mean().backward()  # type: ignore[operator]
        optimiser.step()
        rate.step()
    return row.detach().flatten()


class Errors(NamedTuple):
    """A sphere and two predictions of it with the same |error| in each pixel."""

    depth: dict[str, Float[Tensor, "1 1 h w"]]  # truth, offset, noisy
    normal: dict[str, Float[Tensor, "1 3 h w"]]  # exact ones, and those of the two depth maps
    angle: dict[str, Float[Tensor, "1 1 h w"]]  # degrees to the exact ones
    inside: Bool[Tensor, "1 1 h w"]  # where normals are compared: outside a pixel along the outline
    mask: Bool[Tensor, "1 1 h w"]
    intrinsics: Float[Tensor, "1 3 3"]


def equal_errors(error: float = 0.03, seed: int = 0) -> Errors:
    """One prediction is `error` too far everywhere, the other too far or too near by a coin in each pixel."""
    k = torch.tensor([[[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]]], dtype=torch.float64)
    rays = ops.unproject(torch.ones(1, 1, SIZE, SIZE, dtype=torch.float64), k)
    a, b, c = (rays * rays).sum(1, True), 1.5 * rays[:, 2:], 1.5**2 - 0.5**2
    root = b * b - a * c
    truth = torch.where(root > 0, (b - root.clamp_min(0).sqrt()) / a, 0.0)
    mask = truth > 0
    coin = torch.rand(truth.shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    depth = {"truth": truth, "offset": truth + error, "noisy": truth + torch.where(coin, error, -error)}
    exact = (truth * rays - torch.tensor([0, 0, 1.5], dtype=torch.float64)[None, :, None, None]) / 0.5
    normal, inside = {"truth": torch.where(mask, exact, 0.0)}, mask & ~ops.edge_band(truth, mask)
    for name in ("offset", "noisy"):
        normal[name], found = ops.normals_from_depth(depth[name], k, mask, guide=truth)
        inside = inside & found
    angle = {name: angles(normal[name], normal["truth"]) for name in normal}
    return Errors(depth, normal, angle, inside, mask, k)
