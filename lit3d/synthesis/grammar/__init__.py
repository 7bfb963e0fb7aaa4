"""The built-in mesh source: a grammar that draws and builds furniture, lamps, mugs, airplanes and cars.

Every object is a union of closed parts with outward winding, so "inside" means inside any part. Its hidden variables
are explicit: draw them, change one, build again.
"""

from collections.abc import Mapping

import numpy as np

from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.grammar.airplane import AIRPLANE
from lit3d.synthesis.grammar.assembly import Category
from lit3d.synthesis.grammar.attribute import AttributeSpec, drawn
from lit3d.synthesis.grammar.bed import BED
from lit3d.synthesis.grammar.bench import BENCH
from lit3d.synthesis.grammar.cabinet import CABINET
from lit3d.synthesis.grammar.car import CAR
from lit3d.synthesis.grammar.chair import CHAIR
from lit3d.synthesis.grammar.lamp import LAMP
from lit3d.synthesis.grammar.mug import MUG
from lit3d.synthesis.grammar.sofa import SOFA
from lit3d.synthesis.grammar.table import TABLE
from lit3d.synthesis.shape import Attribute, Shape

__all__ = ["CATEGORIES", "GRAMMAR_VERSION", "AttributeSpec", "Category", "attributes", "build", "draw", "sample"]

# Raised with every change that alters a shape or a draw; it is part of a data set's identity.
GRAMMAR_VERSION = 1

CATEGORIES: dict[str, Category] = {
    category.name: category for category in (AIRPLANE, BED, BENCH, CABINET, CAR, CHAIR, LAMP, MUG, SOFA, TABLE)
}


def _category(name: str) -> Category:
    if name not in CATEGORIES:
        hint = did_you_mean(name, CATEGORIES)
        raise UserError(f"The grammar has no category '{name}'.{hint} It has: {', '.join(CATEGORIES)}.")
    return CATEGORIES[name]


def attributes(category: str) -> tuple[AttributeSpec, ...]:
    """The hidden variables of a category with kind, range and meaning, in the order they are drawn."""
    return _category(category).attributes


def draw(category: str, rng: np.random.Generator) -> dict[str, Attribute]:
    """Draws every attribute of a category, each on its own; some have no effect beside others' values."""
    return drawn(attributes(category), rng)


def build(category: str, values: Mapping[str, Attribute]) -> Shape:
    """The object that has the given attributes; the same attributes give the same shape.

    Args:
        category: a key of `CATEGORIES`.
        values: one value for every attribute of the category, as `draw` returns.

    Raises:
        UserError: unknown category, or an attribute is missing, unknown or out of range.
    """
    return _category(category).build(values)


def sample(category: str, rng: np.random.Generator) -> Shape:
    """Draws the attributes of one object and builds it."""
    return build(category, draw(category, rng))
