import math

import pytest
import torch
from scipy.spatial import cKDTree

from lit3d.errors import UserError
from lit3d.losses import bce, truncated_sdf


def test_bce_is_the_naive_mean_and_its_gradient_is_probability_less_truth():
    logits = torch.tensor([[-2.0, 0.0, 3.0], [500.0, -500.0, 1.0]], requires_grad=True)
    truth = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    found = bce(logits, truth)
    expected = sum(-math.log(p) for p in (1 - 1 / (1 + math.exp(2)), 0.5, 1 / (1 + math.exp(-3)))) / 3
    assert found[0].item() == pytest.approx(expected, rel=1e-5)
    assert found[1].item() == pytest.approx(math.log(1 + math.e) / 3, rel=1e-5)  # 500 is no overflow
    found.sum().backward()
    torch.testing.assert_close(logits.grad, (logits.detach().sigmoid() - truth) / 3)


def test_signed_distance_is_scipys_with_the_sign_of_occupancy_and_is_cut():
    torch.manual_seed(0)
    points, queries = torch.rand(1, 200, 3) - 0.5, torch.rand(1, 60, 3) * 2 - 1
    occupancy = (torch.rand(1, 60) > 0.5).float()
    distance = (torch.rand(1, 60) - 0.5).requires_grad_()
    away = torch.tensor(cKDTree(points[0].numpy()).query(queries[0].numpy())[0], dtype=torch.float32).clamp_max(0.1)
    signed = torch.where(occupancy[0] > 0.5, away, -away)
    found = truncated_sdf(distance, queries, occupancy, points, truncation=0.1)
    torch.testing.assert_close(found, (distance[0] - signed).abs().mean()[None].detach() / 0.1, rtol=1e-4, atol=1e-5)
    found.sum().backward()
    torch.testing.assert_close(distance.grad[0].sign(), (distance[0] - signed).sign().detach())


def test_the_true_distance_of_a_ball_has_a_small_loss():
    torch.manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(1, 20_000, 3), dim=2) * 0.4
    queries = torch.rand(1, 500, 3) - 0.5
    truth = 0.4 - queries.norm(dim=2)
    occupancy = (truth > 0).float()
    assert float(truncated_sdf(truth.clamp(-0.1, 0.1), queries, occupancy, points)) < 0.02
    assert float(truncated_sdf(-truth.clamp(-0.1, 0.1), queries, occupancy, points)) > 1


def test_a_truncation_of_nothing_is_refused():
    one = torch.zeros(1, 1)
    with pytest.raises(UserError, match="must be above 0, got 0"):
        truncated_sdf(one, torch.zeros(1, 1, 3), one, torch.zeros(1, 1, 3), truncation=0.0)
