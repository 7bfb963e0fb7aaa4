"""Reference rows: what a prediction must beat, and what the best possible one scores with as many points."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d import ops
from lit3d.metrics.point_sets import distances, fscore


def mean_shape(
    batches: Callable[[], Iterable[Float[Tensor, "b m 3"]]], points: int, steps: int = 300, seed: int = 0
) -> Float[Tensor, "n 3"]:
    """The best constant prediction: the one point set that fits all training shapes in the target frame.

    Two candidates, the better F-score at 5 % on the first batches wins: the free minimiser of the expected Chamfer
    distance (Adam, from the union), and the union of random points of many shapes.

    Args:
        batches: a function that gives training truths (b, m, 3), again at each call.
        points: n.
        steps: optimiser steps.
        seed: of the union's draw.
    """
    held = []
    for truth in batches():
        held.append(truth)
        if sum(len(t) for t in held) >= 512:
            break
    shapes = torch.cat(held)
    generator = torch.Generator().manual_seed(seed)
    every = union(shapes, points, generator)
    free = _chamfer_mean(every, shapes, steps, generator)
    return max((free, every), key=lambda candidate: _mean_fscore(candidate, shapes))


def union(shapes: Float[Tensor, "b m 3"], points: int, generator: torch.Generator) -> Float[Tensor, "n 3"]:
    """Random points of all shapes together: more of them lie where more shapes agree. Repeated only where too few."""
    flat = shapes.flatten(0, 1)
    order = torch.randperm(len(flat), generator=generator)
    return flat[order.repeat(-(-points // len(flat)))[:points]]


def _chamfer_mean(start: Tensor, shapes: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    free = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([free], lr=5e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        truth = shapes[torch.randint(len(shapes), (16,), generator=generator)][:, : len(start)]
        optimizer.zero_grad()
        ops.chamfer(free.expand(len(truth), -1, -1), truth).mean().backward()
        optimizer.step()
    return free.detach()


def _mean_fscore(candidate: Tensor, shapes: Tensor) -> float:
    some = shapes[:256]
    return float(fscore(distances(candidate.expand(len(some), -1, -1).contiguous(), some), 0.05).mean())
