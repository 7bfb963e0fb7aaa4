"""Does a tiny network find both shapes of one image? Seconds a row, no dataset.

    python -m experiments.several_answers.toy                  # n = 1, 2, 4 with pairs r, -r; three seeds
    python -m experiments.several_answers.toy --independent    # the paper's independent vectors

The image is constant. The truth is a body with a knob at one of two places, each half the time, so the best answers of
two are the two shapes, and a network that ignores its random vector cannot do it.
"""

import argparse
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d import ops
from lit3d.losses import Term, emd, of_best
from lit3d.networks import FullyConnectedHead, PointSetNet, SmallEncoder
from lit3d.networks.pointset import fixed_noise, in_pairs

BATCH, KNOB = 16, 5  # a fifth of the points is the knob
MANY = 64  # fixed vectors by which the share of each shape is told


@dataclass(frozen=True)
class Found:
    """What a network answers to the image.

    Attributes:
        both: whether each shape is chosen by one of the first 8 fixed vectors.
        shares: of `MANY` fixed vectors, those that choose the first and the second shape.
        apart: EMD between answers to r and -r, in units of the EMD between the shapes.
    """

    both: bool
    shares: tuple[float, float]
    apart: float


def two_shapes(points: int) -> Float[Tensor, "2 n 3"]:
    """A body and a knob left or right of it, of the same points."""
    draw = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(points, 3, generator=draw), dim=1)
    knob = torch.arange(len(points)) < len(points) // KNOB
    size = torch.where(knob[:, None], 0.08, torch.tensor([0.3, 0.2, 0.25]))
    side = torch.where(knob, 0.4, 0.0)
    return torch.stack([points * size + s * torch.stack([side, 0 * side, 0 * side], 1) for s in (-1, 1)])


def train(
    n: int, seed: int, steps: int = 300, independent: bool = False, points: int = 64, noise: int = 16
) -> PointSetNet:
    """A tiny network after `steps` batches of the image, each with one of the shapes."""
    torch.manual_seed(seed)
    encoder = SmallEncoder(channels=(8, 16), code=32, image_size=16)
    network = PointSetNet(encoder, partial(FullyConnectedHead, hidden=(64,)), points, noise=noise)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.05)
    shapes, draw, term = two_shapes(points), torch.Generator().manual_seed(seed), Term("emd", emd, "points", "points")
    for step in range(steps):
        drawn = torch.randn(BATCH, n, noise, generator=draw)
        vectors = drawn if independent else in_pairs(drawn[:, ::2], n)
        truth = shapes[torch.randint(2, (BATCH,), generator=draw)]
        batch = {"image": torch.full((BATCH, 3, 16, 16), 0.5), "points": truth, "noise": vectors}
        loss = of_best([term], network(batch), batch, step)["emd"].mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    return network.eval()


@torch.no_grad()
def look(network: PointSetNet) -> Found:
    """Which shapes the fixed vectors choose: an answer chooses a shape if it is nearer by half their distance."""
    vectors = fixed_noise(MANY, network.noise)
    answers = network.hypotheses(torch.full((1, 3, 16, 16), 0.5), vectors[None])[0]
    shapes = two_shapes(answers.shape[1])
    distance = float(ops.emd(shapes[:1], shapes[1:]))
    to = torch.stack([ops.emd(answers, shape.expand_as(answers).contiguous()) for shape in shapes])
    chosen = to.flip(0) - to > distance / 2
    apart = float(ops.emd(answers[::2].contiguous(), answers[1::2].contiguous()).mean()) / distance
    first, second = chosen.double().mean(1).tolist()
    return Found(bool(chosen[:, :8].any(1).all()), (first, second), apart)


def main() -> None:
    """Train and print a row for each n and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--noise", type=int, default=16, help="length of the random vector")
    parser.add_argument("--independent", action="store_true", help="vectors without pairs r, -r")
    arguments = parser.parse_args()
    print(" n seed  both of 8  first second  neither  r from -r")
    for n in arguments.n:
        for seed in arguments.seeds:
            found = look(train(n, seed, arguments.steps, arguments.independent, noise=arguments.noise))
            first, second = found.shares
            both, neither = "yes" if found.both else "no", 1 - first - second
            shares = f"{first:6.0%} {second:6.0%} {neither:8.0%}"
            print(f"{n:2} {seed:4} {both:>10} {shares} {found.apart:10.2f}", flush=True)


if __name__ == "__main__":
    main()
