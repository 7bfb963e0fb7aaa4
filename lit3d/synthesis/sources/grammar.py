"""Objects that are made, not read: the shape grammar as a source."""

import hashlib
from collections.abc import Sequence

import numpy as np

from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.shape import Shape
from lit3d.synthesis.sources.items import DEFAULT_SPLIT, Item, checked_ratios, split_at

_GOLDEN = (5**0.5 - 1) / 2


class GrammarSource:
    """`objects_per_category` objects of each category, each from a seed of its own.

    Object k of a category is the same mesh in the same split whatever `objects_per_category` is.

    Args:
        objects_per_category: how many objects of each category.
        categories: which of the grammar's categories; None for all.
        seed: another seed gives other objects.
        split: shares of train, val and test.
    """

    name = "grammar"

    def __init__(
        self,
        objects_per_category: int = 100,
        categories: Sequence[str] | None = None,
        seed: int = 0,
        split: tuple[float, float, float] = DEFAULT_SPLIT,
    ) -> None:
        from lit3d.synthesis.grammar import CATEGORIES

        self.categories = list(CATEGORIES) if categories is None else list(categories)
        for category in self.categories:
            if category not in CATEGORIES:
                hint = did_you_mean(category, CATEGORIES)
                raise UserError(f"the grammar has no category {category!r}; it has {', '.join(CATEGORIES)}.{hint}")
        if len(set(self.categories)) < len(self.categories):
            raise UserError(f"a category is named twice: {', '.join(self.categories)}")
        if objects_per_category < 1 or not self.categories:
            raise UserError("the grammar source needs at least one category and objects_per_category of at least 1")
        self.objects_per_category = int(objects_per_category)
        self.seed = int(seed)
        self.split = checked_ratios(split)

    def items(self) -> list[Item]:
        """Category by category, object by object."""
        return [self._item(category, k) for category in self.categories for k in range(self.objects_per_category)]

    def _item(self, category: str, k: int) -> Item:
        # The golden-ratio sequence keeps the shares close at every count; hashing leaves small splits empty.
        fraction = (0.5 + k * _GOLDEN) % 1.0
        return Item(f"{category}-{k:06d}", category, split_at(fraction, self.split), {"index": str(k)})

    def load(self, item: Item) -> Shape:
        """Grow the object from its own generator."""
        from lit3d.synthesis.grammar import sample

        return sample(item.category, generator(self.seed, item.category, int(item.facts["index"])))

    def attribution(self) -> str | None:
        """Nobody else's work is in a made object."""
        return None

    def fingerprint(self) -> dict[str, str]:
        """Grammar version and seed settle every object."""
        from lit3d.synthesis.grammar import GRAMMAR_VERSION

        return {"source": self.name, "version": str(GRAMMAR_VERSION), "seed": str(self.seed)}

    def skipped(self) -> list[tuple[str, str]]:
        """Nothing is left out."""
        return []


def generator(seed: int, category: str, k: int) -> np.random.Generator:
    """The random generator of object k of a category."""
    digest = hashlib.sha256(f"{seed}/{category}/{k}".encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest[:16], "big")))
