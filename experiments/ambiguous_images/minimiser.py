"""The point set that a loss wants where the image leaves several shapes open: no network, the posterior itself."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
SPREAD = 0.15  # standard deviation of the cloud that the search begins from: no value is favoured


def free_minimiser(
    loss: Loss,
    probabilities: Float[Tensor, "b k"],
    members: Float[Tensor, "b k m 3"],
    n: int,
    steps: int = 200,
    rate: float = 0.03,
    seed: int = 0,
) -> Float[Tensor, "b n 3"]:
    """Minimise sum_v p_v E[loss(x, n points of member v)] over the n points x of each sample, by Adam.

    Each step draws other n of the m points of each member, as training does: against one fixed sample, the minimiser
    would learn that sample by heart. The rate falls to 2 % along a cosine.

    Args:
        loss: (b n 3) against (b n 3) gives one number (b,) a sample.
        probabilities: of the members; samples with fewer have zeros.
        members: points of each; m >= n.
        n: size of the set.
        steps: of Adam.
        rate: of Adam at the start, in units of the longest side: how far a point moves in a step.
        seed: of the first cloud and of the draws.
    """
    own = torch.Generator().manual_seed(seed)
    b, k, m, _ = members.shape
    middle = (probabilities[..., None] * members.mean(2)).sum(1)
    x = (middle[:, None] + SPREAD * torch.randn(b, n, 3, generator=own)).requires_grad_()
    optimizer = torch.optim.Adam([x], rate, eps=1e-12)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (0.51 + 0.49 * math.cos(math.pi * step / steps))
        total = x.new_zeros(())
        for v in range(k):
            chosen = torch.randperm(m, generator=own)[:n]
            total = total + (probabilities[:, v] * loss(x, members[:, v, chosen])).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return x.detach()
