"""Statistics of each sample over the entries of a mask: 0 and without gradient where there are none, never NaN.

`values` and `valid` share their shape and its first axis is the batch. What is not valid may hold anything.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def masked_mean(values: Float[Tensor, "b *s"], valid: Bool[Tensor, "b *s"]) -> Float[Tensor, " b"]:
    """The mean of the valid entries."""
    return torch.where(valid, values, 0.0).flatten(1).sum(1) / valid.flatten(1).sum(1).clamp_min(1)


def masked_median(values: Float[Tensor, "b *s"], valid: Bool[Tensor, "b *s"]) -> Float[Tensor, " b"]:
    """The median of the valid entries, the mean of the middle two of an even number, as NumPy's."""
    ordered, count = _ordered(values, valid)
    middle = torch.stack([(count - 1).clamp_min(0) // 2, (count // 2).clamp_max(ordered.shape[1] - 1)], dim=1)
    return torch.where(count > 0, ordered.gather(1, middle).mean(1), 0.0)


def trimmed_mean(
    values: Float[Tensor, "b *s"], valid: Bool[Tensor, "b *s"], lowest: float = 0.0, highest: float = 0.0
) -> Float[Tensor, " b"]:
    """The mean without these shares of the lowest and of the highest valid entries, each rounded down to a number."""
    if not (lowest or highest):
        return masked_mean(values, valid)
    ordered, count = _ordered(values, valid)
    rank = torch.arange(ordered.shape[1], device=values.device)
    first, last = (count * lowest).floor()[:, None], (count - (count * highest).floor())[:, None]
    return masked_mean(ordered, (rank >= first) & (rank < last))


def _ordered(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Valid entries in ascending order (b, n), behind them infinities; and their number (b,)."""
    return torch.where(valid, values, torch.inf).flatten(1).sort(1).values, valid.flatten(1).sum(1)


def entries_at(valid: Bool[Tensor, "b n"], shares: Float[Tensor, " k"]) -> Int[Tensor, "b k"]:
    """Index of the valid entry with rank floor(share x number of valid ones), shares in [0, 1).

    Where nothing is valid it is the last entry.
    """
    total = valid.cumsum(1)
    rank = (shares.to(total.device) * total[:, -1:]).long().minimum((total[:, -1:] - 1).clamp_min(0))
    return torch.searchsorted(total, rank + 1).clamp_max(valid.shape[1] - 1)
