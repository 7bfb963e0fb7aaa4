"""The demonstration without a network says what it is drawn to say."""

import pytest
import torch

from experiments.depth_losses import demo
from experiments.depth_losses.synthetic import FAR, NEAR, equal_errors, uncertain_edge


@pytest.fixture(scope="module")
def edge():
    return uncertain_edge()


def test_l2_answers_the_mean_and_l1_the_median_in_each_pixel(edge):
    truths = edge.truths[:, 0, 0]
    torch.testing.assert_close(edge.fitted["l2"], truths.mean(0), atol=2e-3, rtol=0)
    torch.testing.assert_close(edge.fitted["l1"], truths.median(0).values, atol=5e-3, rtol=0)
    between = {name: int(((row > NEAR + 0.02) & (row < FAR - 0.02)).sum()) for name, row in edge.fitted.items()}
    assert between["l1"] == 0
    assert between["l2"] >= 5
    assert between["silog"] >= 4


def test_errors_are_equal_in_each_pixel_and_directions_are_not(edge, tmp_path):
    errors = equal_errors()
    truth, mask = errors.depth["truth"], errors.mask
    for name in ("offset", "noisy"):
        size = (errors.depth[name] - truth).abs()[mask]
        torch.testing.assert_close(size, torch.full_like(size, 0.03))
    assert errors.inside.sum() > 0.85 * mask.sum()
    assert float(demo.mean_angle(errors, "offset")) < 1
    assert float(demo.mean_angle(errors, "noisy")) > 25
    text = demo.table(edge, errors)
    assert "offset      0.0300  0.000900" in text
    assert "noisy       0.0300  0.000900" in text
    demo.draw(edge, errors, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").stat().st_size > 20_000
