"""The figure of the sensors: its numbers follow the formulas, its picture is drawn."""

from PIL import Image

from experiments.sensors.figure import WALL, draw, scene, table
from lit3d.synthesis.sensor import PRESETS


def test_the_table_follows_the_formulas():
    expected = {"kinect": WALL**2 / 16 / (585 * 0.075), "realsense": WALL**2 * 0.08 / (424 * 0.05),
                "tof": 0.001 + 0.0011 * WALL**2}  # fmt: skip
    for name, noise, error, lost in table(PRESETS):
        assert abs(noise / (1000 * expected[name]) - 1) < 0.25
        assert 0 < error < noise
        assert 0.02 < lost < 0.5
    assert 0.05 < scene()[3].mean() < 0.5


def test_the_picture_is_drawn(tmp_path):
    draw(tmp_path / "sensors.png")
    with Image.open(tmp_path / "sensors.png") as picture:
        assert picture.width > 500
