"""What a mesh source is: a list of objects with a category and a split, and a way to load each of them."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Protocol

from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.shape import Shape

SPLITS = ("train", "val", "test", "test_authors")
DEFAULT_SPLIT = (0.8, 0.06, 0.14)


@dataclass(frozen=True)
class Item:
    """One object of a source, not loaded yet; goes to worker processes.

    Attributes:
        object: unique within the source, safe as a file name ([a-z0-9._-]+), the same in every run.
        category: class of the object.
        split: one of `SPLITS`.
        facts: what is known beside it (name, creator, licence, file), written to objects.csv.
        views_of: name whose cameras, lights and colours it shares with others; its own where empty.
    """

    object: str
    category: str
    split: str
    facts: dict[str, str] = field(default_factory=dict)
    views_of: str = ""


class Source(Protocol):
    """A set of objects to render. Instances are picklable and cheap to copy into workers."""

    name: str

    def items(self) -> list[Item]:
        """All usable objects, in an order that is the same in every run."""

    def load(self, item: Item) -> Shape:
        """The mesh of one item; raises `UnusableMeshError` with the reason if it cannot be used."""

    def attribution(self) -> str | None:
        """Text of the ATTRIBUTION file that must go with the renders, or None."""

    def fingerprint(self) -> dict[str, str]:
        """What identifies the content, wherever it lies on disk."""

    def skipped(self) -> list[tuple[str, str]]:
        """(file or entry, reason) of everything left out before loading."""


def stable_fraction(*words: object) -> float:
    """A number in [0, 1) that depends on the words alone: same on every machine, unlike `hash`."""
    digest = hashlib.sha256("\x1f".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def checked_ratios(split: tuple[float, float, float]) -> tuple[float, float, float]:
    """The shares of train, val and test, or `UserError` if they are not three shares of one whole."""
    ratios = tuple(float(share) for share in split)
    if len(ratios) != 3 or min(ratios) < 0 or abs(sum(ratios) - 1) > 1e-6:
        raise UserError(f"split must be three shares (train, val, test) that add up to 1, got {list(split)}")
    return ratios[0], ratios[1], ratios[2]


def split_at(fraction: float, ratios: tuple[float, float, float]) -> str:
    """The split that `fraction` in [0, 1) falls into; test lies at the start, train at the end."""
    _, val, test = ratios
    if fraction < test:
        return "test"
    return "val" if fraction < test + val else "train"


def slug(text: str) -> str:
    """`text` as [a-z0-9._-]+; what other letters it loses is kept apart by a short hash."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^a-z0-9._]+", "-", plain.lower()).strip("-.")
    lost = any(character.isalnum() and not character.isascii() for character in text)
    if not safe or lost or len(safe) > 120:
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        safe = f"{safe[:120]}-{digest}".lstrip("-")
    return safe


def chosen(items: list[Item], categories: list[str] | None, where: str) -> list[Item]:
    """The items of the wanted categories, all for None; `UserError` if a category is not there."""
    if categories is None:
        return items
    known = sorted({item.category for item in items})
    for category in categories:
        if category not in known:
            hint = did_you_mean(category, known)
            raise UserError(f"{where} has no category {category!r}; it has {', '.join(known)}.{hint}")
    return [item for item in items if item.category in categories]
