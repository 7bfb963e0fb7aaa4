"""What n points drawn uniformly from a surface of area A score against m others of it, without any measurement.

The surface is taken as flat around each of its points as far as the radius tau, without a rim and with nothing else
near: a ball around a surface point then holds the area pi tau^2, each of n independent points falls into it with
probability pi tau^2 / A, and it stays empty with (1 - pi tau^2 / A)^n ~ exp(-pi tau^2 n / A): the law of nearest
neighbours in a Poisson process of density n / A (Clark and Evans 1954, Distance to nearest neighbor as a measure of
spatial relationships in populations). All lengths in one unit.
"""

import math

import numpy as np

Values = float | np.ndarray


def recall(n: Values, area: Values, radius: float) -> Values:
    """Expected share of the surface nearer than `radius` to one of n uniform points: 1 - exp(-pi tau^2 n / A)."""
    return 1 - np.exp(-math.pi * radius**2 * np.asarray(n) / area)


def fscore(n: Values, area: Values, radius: float, m: float = math.inf) -> Values:
    """Harmonic mean of that recall and of the precision, which is the same law seen from the n points: m others.

    With a dense truth (m infinite) the precision is 1, because every point lies on the surface.
    """
    r = recall(n, area, radius)
    p = 1.0 if math.isinf(m) else recall(m, area, radius)
    return 2 * p * r / (p + r)


def chamfer_l1(n: Values, area: Values, m: float = math.inf) -> Values:
    """Half of both mean nearest distances; one is the integral of exp(-pi r^2 n / A) over r: sqrt(A / n) / 2."""
    back = 0.0 if math.isinf(m) else np.sqrt(area / m)
    return (np.sqrt(area / np.asarray(n)) + back) / 4


def points_needed(share: float, area: Values, radius: float) -> Values:
    """Uniform points for an expected recall of `share`: -ln(1 - share) A / (pi tau^2)."""
    return -math.log1p(-share) * area / (math.pi * radius**2)


def best_recall(n: Values, area: Values, radius: float) -> Values:
    """No n points on a flat surface do better: n discs of area pi tau^2 cover at most min(1, pi tau^2 n / A) of it."""
    return np.minimum(1.0, math.pi * radius**2 * np.asarray(n) / area)
