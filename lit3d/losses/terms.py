"""A loss is wired by keys: a term names the tensor it reads from the prediction and the one it reads from the batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit3d.errors import UserError
from lit3d.structures import Structure


@dataclass(frozen=True)
class Term:
    """One named term of the training objective.

    Attributes:
        name: its name in configs and logs.
        function: (pred, target) -> (b,).
        pred: name of a tensor of the prediction.
        target: key of the batch.
        weight: factor in the sum.
        schedule: pairs (step, factor), linear in between and constant outside, that multiply the weight; or None.
    """

    name: str
    function: Callable[[Tensor, Tensor], Tensor]
    pred: str
    target: str
    weight: float = 1.0
    schedule: Sequence[tuple[int, float]] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a weight or a schedule."""
        if not np.isfinite(self.weight):
            raise UserError(f"loss.{self.name}.weight must be a finite number, got {self.weight}")
        steps = [step for step, _ in self.schedule or ()]
        if steps != sorted(set(steps)) or (self.schedule is not None and not steps):
            raise UserError(f"loss.{self.name}.schedule must be pairs [step, factor] with rising steps, got {steps}")

    def factor(self, step: int) -> float:
        """The weight at an optimiser step."""
        if self.schedule is None:
            return self.weight
        steps, factors = zip(*self.schedule, strict=True)
        return self.weight * float(np.interp(step, steps, factors))

    def __call__(self, prediction: Structure, batch: Mapping[str, Any]) -> Tensor:
        """The unweighted loss of each sample (b,), in the prediction's own precision whatever the network ran in."""
        predicted = getattr(prediction, self.pred)
        with torch.autocast(predicted.device.type, enabled=False):  # a distance in bfloat16 is none
            return self.function(predicted, batch[self.target])


def check_terms(terms: Sequence[Term], model: str, structure: type[Structure], fitting: Sequence[str]) -> None:
    """Refuse, before training, a term that reads what the model does not predict.

    Args:
        terms: the terms of a run.
        model: the model's name, for the sentence.
        structure: what the model predicts.
        fitting: names of losses that fit, for the sentence.

    Raises:
        UserError: no terms, or one with a `pred` that the structure does not have.
    """
    if not terms:
        raise UserError(f"no loss is chosen: model '{model}' can train with {', '.join(fitting)}")
    for term in terms:
        if term.pred not in structure.tensors:
            raise UserError(
                f"loss '{term.name}' reads '{term.pred}', but model '{model}' predicts {structure.reads_as}; "
                f"losses that fit: {', '.join(fitting)}"
            )
