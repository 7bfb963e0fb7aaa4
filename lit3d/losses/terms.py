"""A loss is wired by keys: a term names the tensor it reads from the prediction and the one it reads from the batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.structures import Structure

Names = str | Sequence[str]


@dataclass(frozen=True)
class Term:
    """One named term of the training objective.

    Attributes:
        name: its name in configs and logs.
        function: (predicted tensors, then targets) -> (b,).
        pred: name of a tensor of the prediction, or of several.
        target: key of the batch, or several, or none.
        weight: factor in the sum.
        schedule: pairs (step, factor), linear in between and constant outside, that multiply the weight; or None.
        stages: all: the mean over the stages of the prediction; None: of the prediction alone.
    """

    name: str
    function: Callable[..., Tensor]
    pred: Names
    target: Names
    weight: float = 1.0
    schedule: Sequence[tuple[int, float]] | None = None
    stages: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a weight or a schedule."""
        if not np.isfinite(self.weight):
            raise UserError(f"loss.{self.name}.weight must be a finite number, got {self.weight}")
        steps = [step for step, _ in self.schedule or ()]
        if steps != sorted(set(steps)) or (self.schedule is not None and not steps):
            raise UserError(f"loss.{self.name}.schedule must be pairs [step, factor] with rising steps, got {steps}")

        if self.stages not in (None, "all"):
            raise UserError(f"loss.{self.name}.stages must be all or null, got '{self.stages}'")

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors of a prediction."""
        return _several(self.pred)

    @property
    def targets(self) -> tuple[str, ...]:
        """Keys of a batch."""
        return _several(self.target)

    def factor(self, step: int) -> float:
        """The weight at an optimiser step."""
        if self.schedule is None:
            return self.weight
        steps, factors = zip(*self.schedule, strict=True)
        return self.weight * float(np.interp(step, steps, factors))

    def __call__(self, prediction: Structure, batch: Mapping[str, Any]) -> Tensor:
        """The unweighted loss of each sample (b,), that of its best answer where there are several."""
        return self.of_each(prediction, batch).amin(1)

    def of_each(self, prediction: Structure, batch: Mapping[str, Any]) -> Float[Tensor, "b k"]:
        """The unweighted loss of each answer, in the prediction's own precision whatever the network ran in.

        A set loss reads `points`; where a prediction has several `hypotheses` of them, the function gets all at once as
        a batch of b k, each against the truth of its sample. Every other term has one column.
        """
        if self.stages == "all":
            return torch.stack([self._of(stage, batch) for stage in prediction.stages]).mean(0)
        return self._of(prediction, batch)

    def _of(self, prediction: Structure, batch: Mapping[str, Any]) -> Float[Tensor, "b k"]:
        predicted = [getattr(prediction, name) for name in self.reads]
        targets, k = [batch[key] for key in self.targets], 1
        if "points" in self.reads and (answers := getattr(prediction, "hypotheses", None)) is not None:
            k = answers.shape[1]
            predicted = [answers.flatten(0, 1) if n == "points" else p.repeat_interleave(k, 0)
                         for n, p in zip(self.reads, predicted, strict=True)]  # fmt: skip
            targets = [t.repeat_interleave(k, 0) for t in targets]
        with torch.autocast(predicted[0].device.type, enabled=False):  # a distance in bfloat16 is none
            return self.function(*predicted, *targets).unflatten(0, (-1, k))


def _several(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def of_best(
    terms: Sequence[Term], prediction: Structure, batch: Mapping[str, Any], step: int
) -> dict[str, Float[Tensor, " b"]]:
    """The unweighted values of all terms for the answer of each sample that has the least weighted sum.

    The min-of-N loss (Fan et al. 2017, equation 3): the gradient flows through the best answer alone. The minimum is
    of the sum, not of each term, so that one answer must be good in all of them.

    Args:
        terms: at least one.
        prediction: with or without `hypotheses`.
        batch: what the terms read.
        step: optimiser steps done, for the weights.
    """
    values = {term.name: term.of_each(prediction, batch) for term in terms}
    k = max(v.shape[1] for v in values.values())
    if k == 1:
        return {name: v[:, 0] for name, v in values.items()}
    values = {name: v.expand(-1, k) for name, v in values.items()}
    total = torch.stack([term.factor(step) * values[term.name].detach() for term in terms]).sum(0)
    best = total.argmin(1, keepdim=True)  # a NaN counts as the least, so that it is not overlooked
    return {name: v.gather(1, best)[:, 0] for name, v in values.items()}


def check_terms(
    terms: Sequence[Term], model: str, structure: type[Structure], fitting: Sequence[str],
    gives: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Refuse, before training, a term that reads what the model does not predict.

    Args:
        terms: the terms of a run.
        model: the model's name, for the sentence.
        structure: what the model predicts.
        fitting: names of losses that fit, for the sentence.
        gives: names of the structure's tensors that this model fills; None: all.

    Raises:
        UserError: no terms, or one with a `pred` that the model does not give.
    """
    if not terms:
        raise UserError(f"no loss is chosen: model '{model}' can train with {', '.join(fitting)}")
    for term in terms:
        for name in term.reads:
            if name not in (structure.tensors if gives is None else gives):
                switch = f"; {structure.switches[name]} adds it" if name in structure.switches else ""
                switched = f" as it is configured{switch}" if name in structure.tensors else ""
                raise UserError(
                    f"loss '{term.name}' reads '{name}', but model '{model}' predicts {structure.reads_as}{switched}; "
                    f"losses that fit: {', '.join(fitting)}"
                )
