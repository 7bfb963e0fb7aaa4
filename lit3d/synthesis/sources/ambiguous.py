"""Objects whose pictures do not tell everything: the same picture, several shapes, known probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lit3d.errors import UserError, did_you_mean
from lit3d.synthesis.shape import Posterior, Shape, bounds
from lit3d.synthesis.sources.grammar import generator
from lit3d.synthesis.sources.items import Item, checked_ratios, split_at

_GOLDEN = (5**0.5 - 1) / 2
SPLIT = (0.82, 0.08, 0.1)


class AmbiguousSource:
    """`objects_per_kind` visible parts of each kind, each with a hidden value drawn from the posterior.

    Test objects stand there once with every value, under the same cameras and lights, so that each test picture comes
    with all that it could be. Visible part k of a kind is the same whatever `objects_per_kind` and `probabilities` are.

    Args:
        objects_per_kind: how many visible parts of each kind.
        kinds: which kinds; None for all.
        probabilities: kind -> one for each value, in the order of `grammar.hidden.KINDS[kind].probabilities`, which
            are taken where a kind is not named; 0 leaves a value out.
        seed: another seed gives other objects.
        split: shares of train, val and test.

    Raises:
        UserError: an unknown kind, or probabilities that are not one for each value, or do not add up to 1.
    """

    name = "ambiguous"

    def __init__(
        self,
        objects_per_kind: int = 245,
        kinds: Sequence[str] | None = None,
        probabilities: Mapping[str, Sequence[float]] | None = None,
        seed: int = 0,
        split: tuple[float, float, float] = SPLIT,
    ) -> None:
        from lit3d.synthesis.grammar.hidden import KINDS

        self.kinds = list(KINDS) if kinds is None else list(kinds)
        for kind in (*self.kinds, *(probabilities or {})):
            if kind not in KINDS:
                hint = did_you_mean(kind, KINDS)
                raise UserError(f"there is no ambiguous kind {kind!r}; there are {', '.join(KINDS)}.{hint}")
        if len(set(self.kinds)) < len(self.kinds):
            raise UserError(f"a kind is named twice: {', '.join(self.kinds)}")
        if objects_per_kind < 1 or not self.kinds:
            raise UserError("the ambiguous source needs at least one kind and objects_per_kind of at least 1")
        wanted = probabilities or {}
        self.posteriors = {kind: _posterior(kind, wanted.get(kind)) for kind in self.kinds}
        self.objects_per_kind, self.seed, self.split = int(objects_per_kind), int(seed), checked_ratios(split)

    def items(self) -> list[Item]:
        """Kind by kind, object by object; in the test split with every value."""
        return [item for kind in self.kinds for k in range(self.objects_per_kind) for item in self._items(kind, k)]

    def _items(self, kind: str, k: int) -> list[Item]:
        # The golden-ratio sequence keeps the shares close at every count; hashing leaves small splits empty.
        split = split_at((0.5 + k * _GOLDEN) % 1.0, self.split)
        values = list(self.posteriors[kind])
        if split != "test":
            at = np.searchsorted(np.cumsum(list(self.posteriors[kind].values())), self._uniform(kind, k), side="right")
            values = [values[min(int(at), len(values) - 1)]]
        seen = f"{kind}-{k:06d}"
        return [Item(f"{seen}-{value}", kind, split, {"index": str(k), "hidden": value, "seen": seen}, views_of=seen)
                for value in values]  # fmt: skip

    def _uniform(self, kind: str, k: int) -> float:
        return float(generator(self.seed, f"{kind}/hidden", k).random())

    def load(self, item: Item) -> Shape:
        """Build the visible part with every value behind it; the item's own is the shape."""
        from lit3d.synthesis.grammar.attribute import drawn
        from lit3d.synthesis.grammar.hidden import KINDS

        kind, posterior = KINDS[item.category], self.posteriors[item.category]
        visible = drawn(kind.drawn, generator(self.seed, item.category, int(item.facts["index"])))
        shapes = [kind.build(visible, value) for value in posterior]
        corners = [bounds(shape) for shape in shapes]
        box = np.min([lower for lower, _ in corners], axis=0), np.max([upper for _, upper in corners], axis=0)
        shapes = [replace(shape, box=box) for shape in shapes]
        hidden = list(posterior).index(item.facts["hidden"])
        all_values = Posterior(kind.attribute, tuple(posterior), tuple(posterior.values()), tuple(shapes), hidden)
        return replace(shapes[hidden], posterior=all_values)

    def attribution(self) -> str | None:
        """Nobody else's work is in a made object."""
        return None

    def fingerprint(self) -> dict[str, str]:
        """Versions, seed and probabilities settle every object."""
        from lit3d.synthesis.grammar import GRAMMAR_VERSION
        from lit3d.synthesis.grammar.hidden import HIDDEN_VERSION

        texts = {k: " ".join(f"{value}:{p:.6g}" for value, p in known.items()) for k, known in self.posteriors.items()}
        return {"source": self.name, "version": f"{GRAMMAR_VERSION}.{HIDDEN_VERSION}", "seed": str(self.seed), **texts}

    def skipped(self) -> list[tuple[str, str]]:
        """Nothing is left out."""
        return []


def _posterior(kind: str, given: Sequence[float] | None) -> dict[str, float]:
    """Value -> probability, without those that never occur."""
    from lit3d.synthesis.grammar.hidden import KINDS

    known = KINDS[kind].probabilities
    try:
        shares = [float(p) for p in (known.values() if given is None else given)]
    except (TypeError, ValueError):
        shares = []
    if len(shares) != len(known) or not all(p >= 0 for p in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"probabilities of {kind} must be {len(known)} numbers from 0 on that add up to 1, for "
                        f"{', '.join(known)}; got {given}")  # fmt: skip
    return {value: p for value, p in zip(known, shares, strict=True) if p > 0}
