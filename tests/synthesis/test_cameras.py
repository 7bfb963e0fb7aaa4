import numpy as np
import pytest

from lit3d.errors import UserError
from lit3d.synthesis.cameras import Camera, ViewRange, draw_cameras, look_at_origin, look_from, project


def camera(azimuth=0.0, elevation=0.0, distance=2.0, **kwargs):
    return look_at_origin(azimuth, elevation, distance, focal=100.0, size=(80, 60), **kwargs)


def test_azimuth_zero_looks_from_plus_z_and_ninety_from_plus_x():
    np.testing.assert_allclose(camera().centre, [0, 0, 2], atol=1e-12)
    np.testing.assert_allclose(camera(90).centre, [2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(camera(0, 90).centre, [0, 2, 0], atol=1e-12)


def test_the_origin_falls_on_the_principal_point_and_up_is_up():
    pixels, depth = project(np.array([[0, 0, 0], [0, 0.5, 0], [0.5, 0, 0], [0, 0, 0.5]]), camera())
    np.testing.assert_allclose(pixels, [[30, 40], [30, 15], [55, 40], [30, 40]])
    np.testing.assert_allclose(depth, [2, 2, 2, 1.5])


def test_positive_roll_turns_the_picture_clockwise():
    pixels, _ = project(np.array([[0, 0.5, 0]]), camera(in_plane=90.0))  # what was above is now right
    np.testing.assert_allclose(pixels, [[55, 40]], atol=1e-9)


@pytest.mark.parametrize("elevation", [-90, -37, 0, 61, 90])
def test_every_pose_is_rigid_at_the_asked_distance(elevation):
    view = camera(213.0, elevation, 1.7, in_plane=11.0)
    rotation = view.object_to_camera[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.norm(view.centre), 1.7)


def test_points_behind_the_camera_have_no_pixel():
    pixels, depth = project(np.array([[0.0, 0, 5]]), camera())
    assert np.isnan(pixels).all()
    assert depth[0] == pytest.approx(-3)


def test_drawn_cameras_keep_to_the_range():
    extents, limits = np.array([1.0, 0.5, 0.25]), ViewRange(elevation=(-20, 60))
    cameras = draw_cameras(np.random.default_rng(0), 400, (64, 64), extents, limits)
    centres = np.array([c.centre for c in cameras])
    ratio = np.linalg.norm(centres, axis=1) / (1.75 * np.linalg.norm(extents))
    elevation = np.rad2deg(np.arcsin(centres[:, 1] / np.linalg.norm(centres, axis=1)))
    azimuth = np.rad2deg(np.arctan2(centres[:, 0], centres[:, 2])) % 360
    for values, (low, high) in ((ratio, (0.65, 0.95)), (elevation, (-20, 60)), (azimuth, (0, 360))):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert cameras[0].intrinsics[0, 0] == pytest.approx(35 / 32 * 64)


def test_a_view_does_not_depend_on_how_many_follow():
    few, many = (draw_cameras(np.random.default_rng(1), n, (64, 64), np.ones(3)) for n in (2, 9))
    np.testing.assert_array_equal(few[1].object_to_camera, many[1].object_to_camera)


def test_far_cameras_hold_the_whole_sphere():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(20, 3))
    directions = np.concatenate([directions / np.linalg.norm(directions, axis=1, keepdims=True), np.eye(3), -np.eye(3)])
    matrices, eyes = look_from(directions, 0.8, 100)
    points = rng.normal(size=(500, 3))
    points *= 0.8 / np.linalg.norm(points, axis=1, keepdims=True)
    q = np.einsum("dij,nj->dni", matrices[:, :, :3], points) + matrices[:, None, :, 3]
    pixels = q[..., :2] / q[..., 2:]
    assert pixels.min() > 0
    assert pixels.max() < 100
    assert np.ptp(pixels[..., 0], axis=1).min() > 95
    assert np.abs(q[..., 2] - np.linalg.norm(eyes, axis=1)[:, None]).max() < 0.81
    for matrix, eye in zip(matrices, eyes, strict=True):
        np.testing.assert_allclose(matrix[:, :3] @ eye + matrix[:, 3], 0, atol=1e-9)


@pytest.mark.parametrize(("change", "text"), [
    ({"intrinsics": np.eye(4)}, "needs intrinsics"),
    ({"intrinsics": np.diag([-1.0, 1, 1])}, "fx, fy > 0"),
    ({"object_to_camera": np.full((4, 4), np.nan)}, "must be finite"),
    ({"object_to_camera": np.diag([1.0, 1, -1, 1])}, "must be rigid"),
    ({"object_to_camera": 2 * np.eye(4)}, "must be rigid"),
    ({"size": (0, 5)}, "at least 1 pixel"),
])
def test_a_camera_that_is_none_is_refused(change, text):
    with pytest.raises(UserError, match=text):
        Camera(**{"intrinsics": np.eye(3), "object_to_camera": np.eye(4), "size": (4, 4)} | change)


def test_ranges_and_distances_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="low <= high"):
        ViewRange(azimuth=(10, 0))
    with pytest.raises(UserError, match="elevation"):
        ViewRange(elevation=(0, 100))
    with pytest.raises(UserError, match="distance"):
        look_at_origin(0, 0, 0.0, focal=10, size=(4, 4))
    with pytest.raises(UserError, match="extents"):
        draw_cameras(np.random.default_rng(0), 1, (4, 4), np.array([1, np.nan, 1]))
