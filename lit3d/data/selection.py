"""Which stored views training sees: fewer objects, fewer views, categories left out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lit3d.data.listing import ObjectRow
from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.sources.items import stable_fraction

SEEN_SPLITS = ("train", "val")  # what training looks at; test splits are never made smaller


@dataclass(frozen=True)
class Selection:
    """A smaller training set out of a dataset; the test stays as it is, so that scores can be compared.

    Attributes:
        objects: training objects of each category, all when None. A smaller set is part of every larger one.
        views: the first so many views of each training object, all when None.
        leave_out: categories that training and validation do not have.

    Raises:
        UserError: a count is below 1.
    """

    objects: int | None = None
    views: int | None = None
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, count in {"data.train_objects": self.objects, "data.train_views": self.views}.items():
            if count is not None and count < 1:
                raise UserError(f"{name} must be at least 1, or null for all, got {count}")

    def check(self, known: Collection[str]) -> None:
        """Refuse to leave out what is not there, or all there is.

        Raises:
            UserError: a category that the dataset does not have, or every one.
        """
        for name in self.leave_out:
            if name not in known:
                raise UserError(
                    f"data.leave_out names {name!r}, but the dataset's categories are {', '.join(known)}."
                    f"{did_you_mean(name, known)}"
                )
        if not set(known) - set(self.leave_out):
            raise UserError(f"data.leave_out names all {len(known)} categories: leave at least one to train with")

    def rows(self, objects: Sequence[ObjectRow], split: str) -> list[tuple[str, int]]:
        """(object id, view) of a split, in the dataset's order: fewer in `SEEN_SPLITS`, all of any other."""
        mine = [entry for entry in objects if entry.split == split]
        if split in SEEN_SPLITS:
            mine = [entry for entry in mine if entry.category not in self.leave_out]
        if split != "train":
            return [(entry.object, view) for entry in mine for view in range(entry.views)]
        chosen = self._some_of_each(mine)
        return [
            (entry.object, view)
            for entry in mine if entry.object in chosen
            for view in range(min(entry.views, self.views or entry.views))
        ]  # fmt: skip

    def _some_of_each(self, entries: Sequence[ObjectRow]) -> set[str]:
        """Names of `objects` of each category: the first in an order that depends on the names alone."""
        by_category: dict[str, list[str]] = {}
        for entry in entries:
            by_category.setdefault(entry.category, []).append(entry.object)
        return {
            name
            for names in by_category.values()
            for name in sorted(names, key=lambda name: stable_fraction("selection", name))[: self.objects]
        }
