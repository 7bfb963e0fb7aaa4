"""Triangle against triangle: exact rational arithmetic is the reference."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from lit3d.ops.kernels.triangles import self_intersecting, triangles_meet
from lit3d.ops.templates import icosphere, torus


def meet_exactly(x, y):
    """Whether two triangles share a point: an edge of one meets the other, in fractions."""
    x, y = ([[Fraction(c) for c in p] for p in t] for t in (x.tolist(), y.tolist()))
    return any(edge_meets(t[k], t[k - 1], o) for t, o in ((x, y), (y, x)) for k in range(3))


def sub(a, b):
    return [p - q for p, q in zip(a, b, strict=True)]


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def edge_meets(p, q, triangle):
    """Clip the segment p + t (q - p), t in [0, 1], to the triangle's plane and then to its three sides."""
    n = cross(sub(triangle[1], triangle[0]), sub(triangle[2], triangle[0]))
    if not any(n):
        return False
    walls = [(n, triangle[0]), ([-c for c in n], triangle[0])]
    walls += [(cross(n, sub(triangle[(k + 1) % 3], triangle[k])), triangle[k]) for k in range(3)]
    start, end = Fraction(0), Fraction(1)
    for normal, foot in walls:  # inside: <normal, . - foot> >= 0
        at, slope = dot(normal, sub(p, foot)), dot(normal, sub(q, p))
        if slope == 0 and at < 0:
            return False
        if slope > 0:
            start = max(start, -at / slope)
        elif slope < 0:
            end = min(end, -at / slope)
    return start <= end


def test_random_triangles():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        x, y = rng.normal(size=(2, 3, 3))
        found.append(triangles_meet(x, y))
        assert found[-1] == meet_exactly(x, y)
    assert 0.1 < np.mean(found) < 0.9


@pytest.mark.parametrize(("size", "axes"), [(2, 3), (3, 3), (3, 2), (4, 2), (3, 1)])
def test_small_integer_triangles(size, axes):
    """Touching, overlapping in a plane or on a line, without area: all the cases that random ones never show."""
    rng = np.random.default_rng(size)
    found = []
    for _ in range(800):
        x, y = np.zeros((2, 3, 3))
        x[:, :axes], y[:, :axes] = rng.integers(0, size, (2, 3, axes))
        found.append(triangles_meet(x, y))
        assert found[-1] == meet_exactly(x, y), (x, y)
    assert axes == 1 or 0.1 < np.mean(found) < 0.99


def brute(vertices, faces):
    hit = np.zeros(len(faces), bool)
    for f, g in combinations(range(len(faces)), 2):
        x, y = vertices[faces[f]], vertices[faces[g]]
        apart = (x.min(0) > y.max(0)).any() or (y.min(0) > x.max(0)).any()
        if not set(faces[f]) & set(faces[g]) and not apart and meet_exactly(x, y):
            hit[f] = hit[g] = True
    return hit


@pytest.mark.parametrize("noise", [0.0, 0.15, 0.4])
def test_meshes_against_brute_force(noise):
    template = icosphere(1)
    at = template.vertices.numpy() + np.random.default_rng(1).normal(size=(42, 3)).astype(np.float32) * noise
    faces = template.faces.numpy()
    expected = brute(at.astype(float), faces)
    assert np.array_equal(self_intersecting(at, faces), expected)
    assert expected.any() == (noise > 0.1)


def test_two_spheres():
    template = icosphere(3)
    at, faces = template.vertices.numpy(), template.faces.numpy()
    for distance, meet in ((2.1, False), (1.0, True), (0.0, True)):
        both = np.concatenate([at, at + np.array([distance, 0, 0])])
        hit = self_intersecting(both, np.concatenate([faces, faces + len(at)]))
        assert hit.any() == meet
        if distance == 1.0:  # spheres of radius 1 at distance 1 meet in the circle x = 1/2
            centre = both[np.concatenate([faces, faces + len(at)])[hit]].mean(1)[:, 0]
            assert np.abs(centre - 0.5).max() < 0.1
    clean = torus(48, 24)
    assert not self_intersecting(clean.vertices.numpy(), clean.faces.numpy()).any()
