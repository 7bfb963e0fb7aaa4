"""Learning-rate schedules that are told the number of steps: shares of a run, not step numbers, stand in configs."""

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LambdaLR, MultiStepLR, OneCycleLR

from lit3d.errors import UserError


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.05, final: float = 0.01) -> LambdaLR:
    """Linear rise over the share `warmup` of the steps, then half a cosine down to `final` of the rate.

    Raises:
        UserError: `warmup` is not in [0, 1).
    """
    if not 0 <= warmup < 1:
        raise UserError(f"model.scheduler.warmup is a share of the steps in [0, 1), got {warmup}")
    rising = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        progress = min(1.0, (step - rising) / max(1, total_steps - rising))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)


def cosine(optimizer: Optimizer, total_steps: int, final: float = 0.0) -> CosineAnnealingLR:
    """Half a cosine from the full rate to `final` of it (Loshchilov, Hutter 2017, SGDR, no restart)."""
    return CosineAnnealingLR(optimizer, total_steps, eta_min=final * optimizer.param_groups[0]["lr"])


def one_cycle(optimizer: Optimizer, total_steps: int, rising: float = 0.3) -> OneCycleLR:
    """Up to the optimizer's rate over the share `rising`, then down to 1 / 250,000 of it (Smith, Topin 2019).

    Raises:
        UserError: `rising` is not in [0, 1].
    """
    if not 0 <= rising <= 1:
        raise UserError(f"model.scheduler.rising is a share of the steps in [0, 1], got {rising}")
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, highest, total_steps=total_steps, pct_start=rising)


def step(optimizer: Optimizer, total_steps: int, at: Sequence[float] = (0.6, 0.85), factor: float = 0.1) -> MultiStepLR:
    """The rate falls by `factor` at each of the shares `at`.

    Raises:
        UserError: a share that is not in (0, 1).
    """
    if not all(0 < share < 1 for share in at):
        raise UserError(f"model.scheduler.at are shares of the steps between 0 and 1, got {list(at)}")
    return MultiStepLR(optimizer, [round(share * total_steps) for share in at], factor)


def constant(optimizer: Optimizer, total_steps: int) -> ConstantLR:
    """The same rate throughout."""
    return ConstantLR(optimizer, factor=1.0, total_iters=total_steps)
