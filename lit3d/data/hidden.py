"""Distributions of the one number that a shape family leaves open, as quantile functions.

A uniform number in [0, 1) becomes a value: stratified numbers become stratified values, and 0.5 the median.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError


class Hidden(Protocol):
    """A distribution of one number.

    Attributes:
        mean: its expectation.
        values: all values where they are few, else None.
    """

    @property
    def mean(self) -> float: ...  # noqa: D102 - the class says it

    @property
    def values(self) -> Tensor | None: ...  # noqa: D102

    def quantile(self, share: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The value below which a share lies."""
        ...


class Uniform:
    """Every value from `low` to `high` is equally likely."""

    values = None

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        _need(low < high, f"low < high, got {low} and {high}")
        self.low, self.high = low, high

    @property
    def mean(self) -> float:
        """Half-way."""
        return (self.low + self.high) / 2

    def quantile(self, share: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Linear."""
        return self.low + (self.high - self.low) * share


class LogNormal:
    """`median` times exp(sigma z), z standard normal: the mean lies exp(sigma^2 / 2) above the median."""

    values = None

    def __init__(self, median: float = 1.0, sigma: float = 0.5) -> None:
        _need(median > 0 and sigma > 0, f"median > 0 and sigma > 0, got {median} and {sigma}")
        self.median, self.sigma = median, sigma

    @property
    def mean(self) -> float:
        """Above the median."""
        return self.median * math.exp(self.sigma**2 / 2)

    def quantile(self, share: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """By the inverse of the normal distribution."""
        return self.median * torch.exp(self.sigma * torch.special.ndtri(share.double())).to(share)


class Beta:
    """Beta(a, b) stretched from [0, 1] to [low, high]."""

    values = None

    def __init__(self, a: float = 2.0, b: float = 5.0, low: float = 0.0, high: float = 1.0) -> None:
        _need(min(a, b) > 0 and low < high, f"a, b > 0 and low < high, got {a}, {b}, {low}, {high}")
        self.a, self.b, self.low, self.high = a, b, low, high

    @property
    def mean(self) -> float:
        """The share a / (a + b) of the way."""
        return self.low + (self.high - self.low) * self.a / (self.a + self.b)

    def quantile(self, share: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """By the inverse of the regularised incomplete beta function."""
        from scipy.special import betaincinv

        found = betaincinv(self.a, self.b, share.double().numpy())
        return self.low + (self.high - self.low) * torch.from_numpy(np.asarray(found)).to(share)


class Choice:
    """One of 0 ... count - 1, equally likely unless `probabilities` say otherwise."""

    def __init__(self, count: int, probabilities: Sequence[float] | None = None) -> None:
        given = [1 / count] * count if probabilities is None and count > 0 else list(probabilities or ())
        possible = len(given) == count >= 1 and min(given) >= 0 and math.isclose(sum(given), 1, abs_tol=1e-6)
        _need(possible, f"count >= 1 and as many probabilities that add up to 1, got {count} and {given}")
        self.probabilities = torch.tensor(given, dtype=torch.float64)

    @property
    def values(self) -> Tensor:
        """0 ... count - 1."""
        return torch.arange(len(self.probabilities), dtype=torch.float32)

    @property
    def mean(self) -> float:
        """Of the numbers, which mean nothing beyond two of them."""
        return float(self.probabilities @ self.values.double())

    def quantile(self, share: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """In order; a value without probability never comes."""
        steps = self.probabilities.cumsum(0)
        index = torch.searchsorted(steps[:-1].contiguous(), share.double(), right=True)
        return index.to(share)


class Presence(Choice):
    """1 with a probability, else 0."""

    def __init__(self, probability: float = 0.5) -> None:
        _need(0 <= probability <= 1, f"a probability from 0 to 1, got {probability}")
        super().__init__(2, (1 - probability, probability))


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise UserError(f"data.family.hidden needs {what}")
