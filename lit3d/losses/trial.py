"""What is wrong with the settings of a loss is said before a run starts, not at its first step."""

import warnings
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from lit3d.errors import UserError
from lit3d.losses.terms import Term

POINTS = 64  # of the sets that a loss is tried on
SIDE = 16  # pixels of the maps


def try_terms(terms: Sequence[Term]) -> None:
    """Call each loss over points or depth once, on small random tensors, so that it refuses settings that cannot be.

    Whatever else goes wrong is left to the run: a loss may need larger sets than these.

    Raises:
        UserError: a loss refused, its name stands before its sentence; or an argument is of the wrong kind.
    """
    predicted, batch = _random(0), _random(1)
    for term in (t for t in terms if set(t.reads) <= set(predicted) and set(t.targets) <= set(batch)):
        tensors = [*(predicted[name] for name in term.reads), *(batch[key] for key in term.targets)]
        try:
            with warnings.catch_warnings(action="ignore"), torch.no_grad():
                term.function(*tensors)
        except UserError as error:
            raise UserError(f"loss '{term.name}': {error}") from None
        except TypeError as error:
            raise UserError(f"loss '{term.name}' does not take what loss.{term.name} holds: {error}") from None
        except Exception:
            continue  # a user's loss, on sets that it may not be made for


def needs_pairs(term: Term) -> bool:
    """Whether its loss needs as many true as predicted points (`point_sets.over_pairs`)."""
    function = term.function.func if isinstance(term.function, partial) else term.function
    return bool(getattr(function, "over_pairs", False))


def _random(seed: int) -> dict[str, Tensor]:
    """A prediction or a batch of one sample, by the names that losses use."""
    generator = torch.Generator().manual_seed(seed)
    maps = {k: torch.rand(1, c, SIDE, SIDE, generator=generator)
            for k, c in (("depth", 1), ("mask_logits", 1), ("normal", 3), ("image", 3))}  # fmt: skip
    camera = torch.tensor([[[SIDE, 0, SIDE / 2], [0, SIDE, SIDE / 2], [0, 0, 1]]])
    rest = {"mask": maps["depth"] > 0, "intrinsics": camera}
    places = torch.rand(1, POINTS, 3, generator=generator) - 0.5
    values = places.norm(dim=2) - 0.3
    rest |= {"logits": values, "distance": values, "queries": places, "occupancy": (values < 0).float()}
    return {"points": torch.rand(1, POINTS, 3, generator=generator) - 0.5, **maps, **rest}


def check_sizes(terms: Sequence[Term], n: int | None, m: int | None) -> None:
    """Refuse a loss over pairs (`point_sets.over_pairs`) where the truth has fewer points than the prediction.

    Args:
        terms: the terms of a run.
        n: predicted points, or None where the model does not say.
        m: points of the truth in training, or None where there are none.

    Raises:
        UserError: naming the loss and both numbers.
    """
    for term in terms:
        if n is not None and m is not None and n > m and needs_pairs(term):
            raise UserError(
                f"loss '{term.name}' pairs each predicted point with a true one, but model.points is {n} and "
                f"data.points only {m}: set data.points={n} or more"
            )
