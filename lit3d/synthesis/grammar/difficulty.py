"""How hard the grammar's objects are to tell apart: `python -m lit3d.synthesis.grammar.difficulty`.

Two numbers per category, on normalised shapes in the object frame with 1,024 points of the outer surface each:

- spread: the median Chamfer distance (mean + mean of squared distances) from an object to the nearest *other* object
  of its category, over the same distance between two samples of one object. At 1, a memory of training objects would
  be as good as the truth.
- constant F: the F-score at 5 % (Euclidean radius 0.05, strict) of the best single answer for all images, chosen on
  training objects and scored on others. Near 1, a network could ignore its image.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from lit3d.synthesis.grammar import CATEGORIES, GRAMMAR_VERSION, sample
from lit3d.synthesis.shape import Shape, bounds, normalised

POINTS = 1024
RADIUS = 0.05
# First word of the seeds, so that the three sets of objects share no member.
_SPREAD, _TRAIN, _TEST = 1, 2, 3


@dataclass(frozen=True)
class Cloud:
    """Surface points (n, 3) and their search tree."""

    points: np.ndarray
    tree: cKDTree


def cloud(points: np.ndarray) -> Cloud:
    """Points (n, 3) with their search tree."""
    return Cloud(points, cKDTree(points))


def winding_numbers(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """In how many of the closed parts with faces `corners` (f, 3, 3) each point (k, 3) lies.

    Counts the faces that a ray along +x leaves by, less those that it enters by.
    """
    low, high = corners.min(axis=1), corners.max(axis=1)
    near = points[:, :1] < high[:, 0]
    for axis in (1, 2):
        near &= (points[:, axis : axis + 1] > low[:, axis]) & (points[:, axis : axis + 1] < high[:, axis])
    point, face = np.nonzero(near)
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = np.moveaxis(corners[face], 0, -1)
    x, y, z = points[point].T
    # Twice the areas of the three triangles that the ray's foot makes with the edges, in the plane of y and z.
    double = (by - ay) * (cz - az) - (bz - az) * (cy - ay)
    first, second = (by - y) * (cz - z) - (bz - z) * (cy - y), (cy - y) * (az - z) - (cz - z) * (ay - y)
    third = double - first - second
    sign = np.sign(double)
    hit = (first * sign > 0) & (second * sign > 0) & (third * sign > 0)
    beyond = (first * ax + second * bx + third * cx) * sign > x * np.abs(double)
    return np.bincount(point, (hit & beyond) * sign, minlength=len(points))


def surface_points(shape: Shape, count: int, rng: np.random.Generator) -> np.ndarray:
    """Area-uniform points (count, 3) on the outer surface of the normalised shape, none of them inside a part."""
    corners = normalised(shape.vertices, *bounds(shape))[shape.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1, keepdims=True)
    found: list[np.ndarray] = []
    while sum(map(len, found)) < count:
        face = rng.choice(len(corners), count, p=area[:, 0] / area.sum())
        u, v = np.sqrt(rng.random(count)), rng.random(count)
        points = np.einsum("nk,nkd->nd", np.stack([1 - u, u * (1 - v), u * v], axis=-1), corners[face])
        outside = winding_numbers(points + 1e-4 * normal[face] / area[face], corners) < 0.5
        found.append(points[outside])
    return np.concatenate(found)[:count]


def clouds(category: str, count: int, purpose: int) -> list[tuple[Cloud, Cloud]]:
    """Two independent samples of each of `count` objects of a category."""
    number, drawn = list(CATEGORIES).index(category), []
    for i in range(count):
        rng = np.random.default_rng([purpose, number, i])
        shape = sample(category, rng)
        drawn.append((cloud(surface_points(shape, POINTS, rng)), cloud(surface_points(shape, POINTS, rng))))
    return drawn


def chamfer(a: Cloud, b: Cloud) -> float:
    """Mean of squared distances, both directions added."""
    return float(np.mean(a.tree.query(b.points)[0] ** 2) + np.mean(b.tree.query(a.points)[0] ** 2))


def fscore(a: Cloud, b: Cloud) -> float:
    """Harmonic mean of the shares of points within `RADIUS` of the other set."""
    shares = [np.mean(np.isfinite(x.tree.query(y.points, distance_upper_bound=RADIUS)[0])) for x, y in ((a, b), (b, a))]
    return float(2 * shares[0] * shares[1] / max(sum(shares), 1e-12))


def spread(category: str, count: int = 100) -> tuple[float, float]:
    """Median Chamfer distance to the nearest other of `count` objects, and between two samples of one object."""
    objects = clouds(category, count, _SPREAD)
    distance = np.full((count, count), np.inf)
    for i in range(count):
        for j in range(i):
            distance[i, j] = distance[j, i] = chamfer(objects[i][0], objects[j][0])
    floor = [chamfer(first, second) for first, second in objects]
    return float(np.median(distance.min(axis=1))), float(np.median(floor))


def constant_scores(train_count: int = 10, test_count: int = 20) -> dict[str, float]:
    """Mean F-score per category of the best constant: a union of all training objects, or one of them (a medoid)."""
    train = [first for name in CATEGORIES for first, _ in clouds(name, train_count, _TRAIN)]
    rng = np.random.default_rng([_TRAIN])
    union = rng.permutation(np.concatenate([c.points for c in train]))[:POINTS]
    candidates = [cloud(union), *train]
    # An object is no judge of itself: its own score is left out of the mean.
    means = [np.mean([fscore(c, t) for t in train if t is not c]) for c in candidates]
    best = candidates[int(np.argmax(means))]
    test = {name: [first for first, _ in clouds(name, test_count, _TEST)] for name in CATEGORIES}
    return {name: float(np.mean([fscore(best, t) for t in objects])) for name, objects in test.items()}


def main() -> None:
    """Prints the table."""
    constants = constant_scores()
    print(f"Grammar version {GRAMMAR_VERSION}; 100 objects per category, {POINTS} points, longest side 1.")
    print(f"{'category':10} {'nearest other':>14} {'same object':>12} {'spread':>7} {'constant F@5%':>14}")
    rows = []
    for name in CATEGORIES:
        nearest, floor = spread(name)
        rows.append((nearest, floor))
        print(f"{name:10} {nearest:14.5f} {floor:12.5f} {nearest / floor:7.2f} {constants[name]:14.3f}", flush=True)
    nearest, floor = np.mean(rows, axis=0)
    least, total = min(n / f for n, f in rows), np.mean(list(constants.values()))
    print(f"{'all':10} {nearest:14.5f} {floor:12.5f} {nearest / floor:7.2f} {total:14.3f}")
    print(f"Least spread {least:.2f} (wanted: at least 3); constant F {total:.3f} (wanted: at most 0.40).")


if __name__ == "__main__":
    main()
