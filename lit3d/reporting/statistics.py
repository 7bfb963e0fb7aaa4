"""Paired comparisons by image: intervals by a bootstrap over objects, a sign-flip test, Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from jaxtyping import Float

DRAWS = 2000  # of the bootstrap: the end of an interval moves by some hundredths of its width between seeds
FLIPS = 9999  # of the test: the smallest p is 1 in 10,000
EXACT = 12  # objects up to which all 2^g sign patterns are tried


@dataclass(frozen=True)
class Paired:
    """Gains of k scores over some images of some objects: `mean`, the ends of the 95 % interval, `p`; (k,) each."""

    mean: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    p: Float[np.ndarray, " k"]
    images: int
    objects: int


def paired(gains: Float[np.ndarray, "s k"], objects: Sequence[str]) -> Paired:
    """Mean gain with its interval and the p of 'no difference', where whole objects are drawn and flipped.

    Views of one object are not independent, so an object is drawn with all its views (percentile bootstrap), and its
    views change sign together (two-sided randomisation test of the mean; exact up to 12 objects). Both tell how much
    the choice of test objects matters, not how much a further training run would.
    """
    _, group = np.unique(np.asarray(objects), return_inverse=True)
    count = int(group.max()) + 1
    views = np.bincount(group, minlength=count).astype(float)
    totals = np.stack([np.bincount(group, column, minlength=count) for column in gains.T], axis=1)
    drawn = _draws(count)
    means = (drawn @ totals) / (drawn @ views)[:, None]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return Paired(gains.mean(0), low, high, _sign_flip(totals), len(gains), count)


@lru_cache(maxsize=32)
def _draws(count: int) -> Float[np.ndarray, "d g"]:
    """How often each object is in each draw."""
    chosen = np.random.default_rng(0).integers(0, count, (DRAWS, count))
    at = (np.arange(DRAWS)[:, None] * count + chosen).ravel()
    return np.bincount(at, minlength=DRAWS * count).reshape(DRAWS, count).astype(np.float64)


@lru_cache(maxsize=32)
def _signs(count: int) -> Float[np.ndarray, "d g"]:
    if count <= EXACT:
        return np.array(list(product((1.0, -1.0), repeat=count)))
    return np.random.default_rng(1).choice(np.array([1.0, -1.0], np.float32), (FLIPS, count)).astype(np.float64)


def _sign_flip(totals: Float[np.ndarray, "g k"]) -> Float[np.ndarray, " k"]:
    """Share of sign patterns whose sum is at least as far from 0 as the one that was seen."""
    observed = np.abs(totals.sum(0)) * (1 - 1e-9)
    hits = (np.abs(_signs(len(totals)) @ totals) >= observed).sum(0)
    return hits / 2 ** len(totals) if len(totals) <= EXACT else (1 + hits) / (1 + FLIPS)


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, "A simple sequentially rejective multiple test procedure", 1979)."""
    order = np.argsort(p)
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        corrected[int(i)] = least
    return corrected
