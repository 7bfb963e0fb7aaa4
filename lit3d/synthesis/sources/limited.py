"""A few objects of any source: for debugging runs."""

import numpy as np

from lit3d.errors import UserError
from lit3d.synthesis.shape import Shape
from lit3d.synthesis.sources.items import SPLITS, Item, Source


class LimitedSource:
    """`limit` training objects spread evenly over a source, and a third as many of each other split.

    Args:
        source: where all objects come from.
        limit: training objects, at least 1.

    Raises:
        UserError: the limit is below 1.
    """

    def __init__(self, source: Source, limit: int) -> None:
        if limit < 1:
            raise UserError(f"data.limit must be at least 1 object, got {limit}")
        self.source, self.limit, self.name = source, limit, source.name

    def items(self) -> list[Item]:
        """The chosen ones, in the source's order."""
        items = self.source.items()
        kept: list[Item] = []
        for split in SPLITS:
            mine = [item for item in items if item.split == split]
            count = min(len(mine), self.limit if split == "train" else max(1, self.limit // 3))
            kept += [mine[i] for i in np.linspace(0, len(mine) - 1, count).astype(int)] if count else []
        return kept

    def load(self, item: Item) -> Shape:
        """As the source does."""
        return self.source.load(item)

    def attribution(self) -> str | None:
        """As the source does."""
        return self.source.attribution()

    def fingerprint(self) -> dict[str, str]:
        """The source's, and the limit."""
        return self.source.fingerprint() | {"limit": str(self.limit)}

    def skipped(self) -> list[tuple[str, str]]:
        """As the source does."""
        return self.source.skipped()
