"""Hidden variables of an object: what they are called, which values they take, how they are drawn and checked."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.shape import Attribute


@dataclass(frozen=True)
class AttributeSpec:
    """One hidden variable.

    Attributes:
        name: its key in the dictionary of attributes.
        kind: "choice" (a word out of `values`), "int" or "float" (both between `low` and `high`, inclusive).
        meaning: one line for people, with the unit.
        values: the words of a choice.
        low: smallest number.
        high: largest number.
        weights: relative frequencies of `values` when drawn; equal where empty.
    """

    name: str
    kind: str
    meaning: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    weights: tuple[float, ...] = ()

    def draw(self, uniform: float) -> Attribute:
        """The value at `uniform` in [0, 1). Floats keep 4 decimals, so that they survive text files unchanged."""
        if self.kind == "float":
            return round(self.low + (self.high - self.low) * uniform, 4)
        if self.kind == "int":
            return int(self.low) + int(uniform * (int(self.high) - int(self.low) + 1))
        share = np.cumsum(self.weights or np.ones(len(self.values)))
        return self.values[int(np.searchsorted(share / share[-1], uniform, side="right"))]

    def allowed(self) -> str:
        """The allowed values as text."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.values)
        word = "a whole number" if self.kind == "int" else "a number"
        return f"{word} from {self.low:g} to {self.high:g}"

    def accepts(self, value: object) -> bool:
        """Whether `value` has the right type and lies in the range."""
        if self.kind == "choice":
            return isinstance(value, str) and value in self.values
        numbers = (int, np.integer) if self.kind == "int" else (int, float, np.integer, np.floating)
        if isinstance(value, bool) or not isinstance(value, numbers):
            return False
        return bool(math.isfinite(value) and self.low <= value <= self.high)

    def plain(self, value: Attribute) -> Attribute:
        """An accepted value as a plain str, int or float, whatever NumPy type it came in."""
        return {"choice": str, "int": int, "float": float}[self.kind](value)


def choice(name: str, meaning: str, **weights: float) -> AttributeSpec:
    """A choice among the keywords, drawn in proportion to their values."""
    return AttributeSpec(name, "choice", meaning, tuple(weights), weights=tuple(weights.values()))


def integer(name: str, low: int, high: int, meaning: str) -> AttributeSpec:
    """A whole number from `low` to `high`, both included."""
    return AttributeSpec(name, "int", meaning, low=low, high=high)


def real(name: str, low: float, high: float, meaning: str) -> AttributeSpec:
    """A number drawn uniformly between `low` and `high`."""
    return AttributeSpec(name, "float", meaning, low=low, high=high)


def drawn(specs: Iterable[AttributeSpec], rng: np.random.Generator) -> dict[str, Attribute]:
    """One value per attribute, drawn independently, in the order of `specs` (one uniform number each)."""
    return {spec.name: spec.draw(float(rng.random())) for spec in specs}


def checked(category: str, specs: Iterable[AttributeSpec], values: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """`values` in the order of `specs`.

    Raises:
        UserError: an attribute is missing, unknown, of the wrong type or out of range.
    """
    known = {spec.name: spec for spec in specs}
    for name in values:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"Category '{category}' has no attribute '{name}'.{hint} It has: {', '.join(known)}.")
    for name, spec in known.items():
        if name not in values:
            raise UserError(
                f"Attribute '{name}' of category '{category}' is missing: give {spec.allowed()} ({spec.meaning})."
            )
        if not spec.accepts(values[name]):
            wanted = f"Attribute '{name}' of category '{category}' must be {spec.allowed()}"
            raise UserError(f"{wanted}, got {values[name]!r}.")
    return {name: spec.plain(values[name]) for name, spec in known.items()}
