"""The sensor model against its formulas, and against a second, slow way to say the same."""

import numpy as np
import pytest

from lit3d.errors import UserError
from lit3d.synthesis import sensor as s
from lit3d.synthesis.sensor import PRESETS, Sensor, find_sensor, measure

FACING = np.array([0.0, 0.0, -1.0])


def camera(h, w, focal=300.0):
    return np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1.0]])


def wall(z, h=120, w=160):
    return np.full((h, w), z, np.float32), np.broadcast_to(FACING, (h, w, 3)).astype(np.float32)


def measured(sensor, z, seed=0, **options):
    depth, normal = wall(z)
    return measure(depth, normal, camera(*depth.shape), sensor, np.random.default_rng(seed), **options)


@pytest.mark.parametrize("z", [1.0, 2.0, 3.5])
def test_noise_of_disparity_grows_with_the_square_of_depth(z):
    sensor = Sensor(focal=500, baseline=0.08, disparity_noise=0.05)
    noise = measured(sensor, z) - z
    assert noise.std() == pytest.approx(z**2 * 0.05 / (500 * 0.08), rel=0.02)  # d z = z^2 / (f b) d d
    assert abs(noise.mean()) < 0.05 * noise.std() + z**3 * (0.05 / 40) ** 2  # 1 / d bends: a bias of second order


@pytest.mark.parametrize("z", [1.1, 2.3, 3.7])
def test_steps_of_disparity_are_steps_of_depth(z):
    sensor = Sensor(focal=585, baseline=0.075, disparity_noise=0.3, disparity_step=0.125)
    steps = 585 * 0.075 / measured(sensor, z) / 0.125
    np.testing.assert_allclose(steps, np.round(steps), atol=2e-4)
    assert len(np.unique(np.round(steps))) > 10
    near = 585 * 0.075 / z
    gap = 585 * 0.075 / near - 585 * 0.075 / (near + 0.125)
    assert gap == pytest.approx(z**2 * 0.125 / (585 * 0.075), rel=0.05)


def test_a_kinect_is_as_noisy_as_was_measured():
    """Khoshelham, Elberink 2012: half a step of disparity, 1.425e-5 z^2 in cm, 4 cm at 5 m."""
    sensor = Sensor(**{**PRESETS["kinect"].__dict__, "far": 9.0, "lateral": 0.0, "edge": 0.0})
    for z in (1.3, 2.6, 5.0):
        places = [measured(sensor, z + dz, seed=i) - (z + dz) for i, dz in enumerate(np.linspace(0, 0.1, 11))]
        assert np.std(places) == pytest.approx(1.425e-5 * (100 * z) ** 2 / 100, rel=0.12)


def test_time_of_flight_keeps_the_bound_of_its_specification():
    tof = PRESETS["tof"]
    assert tof.noise[0] + tof.noise[1] * tof.far**2 == pytest.approx(0.017, abs=5e-4)  # 17 mm at the end of its range
    noise = measured(tof, 2.0) - 2.0
    assert noise.std() == pytest.approx(0.001 + 0.0011 * 4, rel=0.03)
    steps = measured(tof, 2.0) / 0.001
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_a_unit_of_length_changes_nothing_but_the_unit():
    one = measured(PRESETS["kinect"], 2.0)
    np.testing.assert_allclose(measured(PRESETS["kinect"], 4.0, metres=0.5) / 2, one, rtol=1e-6)


def test_range_limits_and_nothing():
    assert not measured(PRESETS["kinect"], 0.5).any()
    assert not measured(PRESETS["kinect"], 4.5).any()
    assert measured(PRESETS["kinect"], 2.0).all()
    assert not measured(PRESETS["tof"], 0.0).any()


def hidden_by_hand(z, focal_baseline):
    """Pixel by pixel: something further right, at the same place or left of it in the second eye's picture."""
    out = np.zeros(z.shape, bool)
    for v in range(z.shape[0]):
        for u in range(z.shape[1]):
            if z[v, u] > 0:
                mine = u - focal_baseline / z[v, u]
                others = [k for k in range(u + 1, z.shape[1]) if z[v, k] > 0]
                out[v, u] = any(k - focal_baseline / z[v, k] <= mine for k in others)
    return out


def test_the_shadow_is_what_the_second_eye_does_not_see():
    rng = np.random.default_rng(0)
    for _ in range(20):
        z = rng.uniform(1, 3, (6, 15)) * (rng.random((6, 15)) < 0.8)
        np.testing.assert_array_equal(s.shadow(z, 4.0), hidden_by_hand(z, 4.0))


def test_a_plate_throws_its_shadow_on_the_left_as_wide_as_the_difference_of_disparities():
    z = np.full((20, 100), 3.0)
    z[:, 40:60] = 1.0
    hidden = s.shadow(z, 12.0)
    width = 12.0 / 1.0 - 12.0 / 3.0
    assert hidden[:, int(40 - width) : 40].all()
    assert hidden.sum() == 20 * width
    assert not s.shadow(z, 0.0).any()  # time of flight
    assert not s.shadow(np.full((4, 50), 2.0), 12.0).any()  # a wall hides nothing of itself


def test_holes_along_edges_have_the_stated_width():
    z = np.full((10, 60), 2.0)
    z[:, 30:] = 3.0
    z[:, :5] = 0.0
    rng = np.random.default_rng(0)
    found = s.band(s.edges(z), 2.0, rng)
    expected = np.zeros_like(found)
    expected[:, 28:32] = expected[:, 5:7] = True
    np.testing.assert_array_equal(found & (z > 0), expected)
    tall = np.repeat(z, 500, axis=0)
    share = s.band(s.edges(tall), 1.25, rng)
    assert share[:, 29:31].all()
    assert share[:, 28].mean() == pytest.approx(0.25, abs=0.02)
    assert not s.band(s.edges(z), 0.0, rng).any()


def test_a_slope_is_no_edge():
    z = np.linspace(1, 3, 60)[None].repeat(5, 0)
    assert not s.edges(z).any()


def test_flying_pixels_lie_between_the_two_surfaces():
    z = np.full((200, 20), 1.0)
    z[:, 10:] = 2.0
    out = s.mixed(z, 1.0, np.random.default_rng(0))
    flying = (out > 1) & (out < 2)
    assert flying[:, 9:11].all()
    assert not flying[:, :9].any()
    assert not flying[:, 11:].any()
    assert out[:, 9:11].mean() == pytest.approx(1.5, abs=0.05)
    alone = np.where(np.arange(20) < 10, 1.0, 0.0)[None].repeat(5, 0)
    np.testing.assert_array_equal(s.mixed(alone, 1.0, np.random.default_rng(0)), alone)  # no second surface


def test_pixels_at_grazing_angles_are_lost_with_the_stated_probability():
    depth, normal = wall(2.0, 200, 200)
    far = camera(200, 200, focal=1e5)  # all rays along z
    for angle, share in ((60, 0.0), (75, 0.25), (80, 0.5), (90, 1.0)):
        turned = normal.copy()
        turned[:] = (np.sin(np.radians(angle)), 0, -np.cos(np.radians(angle)))
        lost = measure(depth, turned, far, Sensor(focal=1e5, grazing=(70, 90)), np.random.default_rng(0)) == 0
        assert lost.mean() == pytest.approx(share, abs=0.01)


def test_lateral_noise_moves_a_slope_by_its_slope():
    h, w = 100, 200
    depth = (2 + 0.004 * np.arange(w, dtype=np.float32))[None].repeat(h, 0)
    sensor = Sensor(focal=300, lateral=3.0)  # pixels of a picture with the same focal length
    out = measure(depth, np.broadcast_to(FACING, (h, w, 3)), camera(h, w), sensor, np.random.default_rng(0))
    inner = (slice(None), slice(15, -15))
    assert (out - depth)[inner].std() == pytest.approx(0.004 * np.sqrt(9 + 1 / 12), rel=0.03)  # and rounding to pixels
    finer = Sensor(focal=600, lateral=6.0)
    half = measure(depth, np.broadcast_to(FACING, (h, w, 3)), camera(h, w), finer, np.random.default_rng(0))
    np.testing.assert_array_equal(out, half)  # the picture has half the sensor's pixels


def test_a_seed_settles_everything_and_the_input_stays():
    depth, normal = wall(2.0)
    before = depth.copy()
    one, two = (measured(PRESETS["kinect"], 2.0, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one != measured(PRESETS["kinect"], 2.0, seed=4)).any()
    measure(depth, normal, camera(*depth.shape), PRESETS["kinect"], np.random.default_rng(0))
    np.testing.assert_array_equal(depth, before)


def test_names_and_numbers_that_cannot_be():
    assert find_sensor(None) is None
    assert find_sensor("tof") is PRESETS["tof"]
    with pytest.raises(UserError, match="Did you mean 'kinect'"):
        find_sensor("kinnect")
    for wrong in ({"focal": 0}, {"focal": 1, "near": 2, "far": 1}, {"focal": 1, "step": -1}, {"focal": float("nan")},
                  {"focal": 1, "grazing": (80, 70)}):  # fmt: skip
        with pytest.raises(UserError, match="a depth sensor needs"):
            Sensor(**wrong)
    with pytest.raises(UserError, match="without a baseline"):
        Sensor(focal=1, disparity_step=0.1)
