"""What a mean shape looks like, against naive loops and sets whose numbers are known."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lit3d.metrics import mean_shape


def test_radius_against_numpy():
    points = torch.randn(31, 3)
    lengths = np.linalg.norm(points.numpy(), axis=1)
    found = mean_shape.radius(points)
    assert found["mean"] == pytest.approx(lengths.mean())
    assert found["median"] == pytest.approx(np.median(lengths))
    assert found["spread"] == pytest.approx(lengths.std() / lengths.mean(), rel=1e-5)
    assert mean_shape.radius(torch.zeros(4, 2))["spread"] == 0


@pytest.mark.parametrize("d", [2, 3])
def test_points_on_members_against_a_loop(d):
    draw = torch.Generator().manual_seed(d)
    points, members = torch.rand(40, d, generator=draw), torch.rand(3, 300, d, generator=draw)
    on = mean_shape.on_members(points, members, tolerance=0.05)
    for k in range(3):
        expected = cdist(points, members[k]).min(1) <= 0.05
        np.testing.assert_array_equal(on[k], expected)
    assert 0.05 < on.float().mean() < 0.95


def test_shares():
    on = torch.tensor([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]], dtype=torch.bool)
    assert mean_shape.off_member(on) == pytest.approx(3 / 5)
    assert mean_shape.between(on) == pytest.approx(2 / 5)
    assert mean_shape.at_places(on).tolist() == pytest.approx([1 / 5, 1 / 5])
    assert mean_shape.off_member(torch.ones(2, 4, dtype=torch.bool)) == 0


def test_a_circle_is_itself_whatever_its_phase():
    angle = 2 * math.pi * torch.arange(50) / 50
    turned = angle[None] + 2 * math.pi / 50 * torch.arange(10)[:, None] / 10
    circles = 0.5 * torch.stack([turned.cos(), turned.sin()], dim=-1)
    assert mean_shape.closest_emd(circles[0] * 1.1, circles) == pytest.approx(0.05, abs=1e-6)
