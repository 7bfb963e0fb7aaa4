"""What is wrong with the settings of a loss is said before a run starts, not at its first step."""

import warnings
from collections.abc import Sequence
from functools import partial

import torch

from lit3d.errors import UserError
from lit3d.losses.terms import Term

POINTS = 64  # of the sets that a loss is tried on


def try_terms(terms: Sequence[Term]) -> None:
    """Call each loss over points once, on two small random sets, so that it refuses settings that cannot be.

    Whatever else goes wrong is left to the run: a loss may need larger sets than these.

    Raises:
        UserError: a loss refused, its name stands before its sentence; or an argument is of the wrong kind.
    """
    sets = torch.rand(2, 1, POINTS, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    for term in (t for t in terms if (t.reads, t.targets) == (("points",), ("points",))):
        try:
            with warnings.catch_warnings(action="ignore"), torch.no_grad():
                term.function(*sets)
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


def check_sizes(terms: Sequence[Term], n: int | None, m: int) -> None:
    """Refuse a loss over pairs (`point_sets.over_pairs`) where the truth has fewer points than the prediction.

    Args:
        terms: the terms of a run.
        n: predicted points, or None where the model does not say.
        m: points of the truth in training.

    Raises:
        UserError: naming the loss and both numbers.
    """
    for term in terms:
        if n is not None and n > m and needs_pairs(term):
            raise UserError(
                f"loss '{term.name}' pairs each predicted point with a true one, but model.points is {n} and "
                f"data.points only {m}: set data.points={n} or more"
            )
