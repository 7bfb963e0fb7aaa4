"""Where occupancy is known: the places are a formula, so that a dataset stores one bit a query and nothing else.

Uniform queries are a Kronecker sequence (multiples of irrational steps, modulo 1) moved by a shift that is drawn for
each object (Cranley and Patterson 1976): each query is uniform in the cube, a mean over them has no bias, and a block
of neighbouring rows covers the cube evenly, so that a share of inside queries varies less than with independent draws.
Near queries are the object's surface samples, moved by a normal distribution.
"""

import numpy as np
from scipy.special import ndtri

HALF = 0.55  # the cube of queries is [-HALF, HALF]^3: the object's unit cube and 0.1 (Occupancy Networks, Sec. 4)
GOLDEN = 1.2207440846057596  # root of x^4 = x + 1: its inverse powers are the steps in three dimensions
STEPS = GOLDEN ** -np.arange(1.0, 4.0)


def fractions(start: int, count: int, shift: np.ndarray) -> np.ndarray:
    """(count, 3) float64 in [0, 1): elements `start` ... of the sequence moved by `shift` (3,)."""
    places = np.arange(start, start + count)[:, None] * STEPS + shift
    return places - np.floor(places)


def uniform_queries(start: int, count: int, shift: np.ndarray) -> np.ndarray:
    """(count, 3) float32 in the cube, object frame."""
    return ((2 * fractions(start, count, shift) - 1) * HALF).astype(np.float32)


def near_queries(points: np.ndarray, start: int, shift: np.ndarray, sigma: float) -> np.ndarray:
    """(count, 3) float32: surface samples (count, 3), the first of which is number `start`, moved by N(0, sigma^2)."""
    share = np.clip(fractions(start, len(points), shift), 1e-12, 1 - 1e-12)
    return (points + sigma * ndtri(share)).astype(np.float32)


def far_queries(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) float32, uniform in the ball around the cube but not in the cube: places where no object can be."""
    found = np.empty((0, 3))
    while len(found) < count:  # 1.7 of 2.7 parts of the ball lie outside of the cube
        direction = rng.normal(size=(2 * count + 8, 3))
        radius = HALF * np.sqrt(3) * np.cbrt(rng.random((len(direction), 1)))
        points = direction / np.linalg.norm(direction, axis=1, keepdims=True) * radius
        found = np.concatenate([found, points[np.abs(points).max(axis=1) > HALF]])
    return found[:count].astype(np.float32)
