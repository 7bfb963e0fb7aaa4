"""Windows at another size against loops over pixels."""

import numpy as np
import pytest

from lit3d.data.normals import normals_of
from lit3d.data.windows import Window, central, placed, resized_colour, resized_depth, resized_intrinsics


def nearest_by_hand(depth, window, size):
    """For each new pixel, all old ones whose centre lies in its area (and the one below its own centre)."""
    out = np.zeros(size)
    step_y, step_x = window.height / size[0], window.width / size[1]
    for i in range(size[0]):
        for j in range(size[1]):
            y, x = window.top + (i + 0.5) * step_y, window.left + (j + 0.5) * step_x
            best = np.inf
            for v in range(depth.shape[0]):
                for u in range(depth.shape[1]):
                    dy, dx = abs(v + 0.5 - y), abs(u + 0.5 - x)
                    own = v == int(np.floor(y)) and u == int(np.floor(x))
                    inside_y = dy <= step_y / 2 + 1e-9 or v == int(np.floor(y))
                    inside_x = dx <= step_x / 2 + 1e-9 or u == int(np.floor(x))
                    if depth[v, u] > 0 and (own or (inside_y and inside_x)) and dy**2 + dx**2 < best:
                        best, out[i, j] = dy**2 + dx**2, depth[v, u]
    return out


@pytest.mark.parametrize(("window", "size"), [
    (Window(0, 0, 24, 18), (6, 8)), (Window(1.3, 2.1, 20.5, 14.2), (5, 7)), (Window(2, 2, 8, 6), (12, 16)),
    (Window(0, 0, 24, 18), (18, 24)), (Window(0, 3, 24, 12), (9, 9)),
])  # fmt: skip
def test_depth_is_the_nearest_valid_of_the_area(window, size):
    rng = np.random.default_rng(1)
    depth = (rng.uniform(1, 3, (18, 24)) * (rng.random((18, 24)) < 0.4)).astype(np.float32)
    by_hand = nearest_by_hand(depth, window, size).astype(np.float32)
    np.testing.assert_array_equal(resized_depth(depth, window, size), by_hand)


def test_the_same_size_changes_nothing():
    rng = np.random.default_rng(0)
    depth, colour = rng.random((7, 9)).astype(np.float32), rng.integers(0, 256, (7, 9, 3)).astype(np.uint8)
    whole = central((7, 9), (7, 9))
    assert whole == Window(0, 0, 9, 7)
    np.testing.assert_array_equal(resized_depth(depth, whole, (7, 9)), depth)
    np.testing.assert_array_equal(resized_colour(colour, whole, (7, 9)), colour)
    np.testing.assert_array_equal(resized_intrinsics(np.eye(3), whole, (7, 9)), np.eye(3))


def test_windows_lie_inside_and_have_the_shape_asked_for():
    for size, target in (((48, 64), (10, 10)), ((48, 64), (20, 10)), ((30, 90), (40, 50))):
        for share, x, y in ((1, 0.5, 0.5), (0.7, 0, 1), (0.7, 1, 0), (0.4, 0.3, 0.6)):
            w = placed(size, target, share, x, y)
            assert w.width / w.height == pytest.approx(target[1] / target[0])
            assert min(w.left, w.top) >= -1e-9
            assert w.left + w.width <= size[1] + 1e-9
            assert w.top + w.height <= size[0] + 1e-9
            assert max(w.width / size[1], w.height / size[0]) == pytest.approx(share)


def test_a_ray_goes_through_the_same_place_of_the_picture():
    k = np.array([[70, 0, 31.0], [0, 65, 22.0], [0, 0, 1]])
    window, size = Window(4, 6, 40, 30), (60, 20)
    ray = np.array([0.1, -0.05, 1])
    u, v, _ = k @ ray
    new = resized_intrinsics(k, window, size) @ ray
    assert new[0] == pytest.approx((u - 4) * 20 / 40)
    assert new[1] == pytest.approx((v - 6) * 60 / 30)


def test_normals_are_exact_on_a_plane_and_nothing_elsewhere():
    k = np.array([[60.0, 0, 20], [0, 60, 15], [0, 0, 1]])
    normal = np.array([0.3, -0.4, -np.sqrt(0.75)])
    pixels = np.stack([*np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5), np.ones((30, 40))], axis=-1)
    rays = pixels @ np.linalg.inv(k).T
    depth = -2.0 / (rays @ normal)
    depth[10, 10] = 0
    depth[:, 30:] += 1
    found = normals_of(depth, k)
    known = np.linalg.norm(found, axis=-1) > 0
    left = known.copy()
    left[:, 30:] = False
    assert left.sum() > 700
    assert np.degrees(np.arccos(np.clip(found[left] @ normal, -1, 1))).max() < 0.05
    assert not known[10, 10]
