import pytest
import torch

from lit3d import losses
from lit3d.errors import UserError

ALL = [losses.cd, losses.emd, losses.l2_ordered]


@pytest.mark.parametrize("loss", ALL)
class TestEachLoss:
    def test_cardinality(self, loss):
        assert loss(torch.rand(3, 20, 3), torch.rand(3, 25, 3)).shape == (3,)

    def test_zero_at_identity(self, loss):
        x = torch.rand(2, 20, 3)
        assert float(loss(x, x).abs().max()) == 0

    def test_gradcheck(self, loss):
        g = torch.Generator().manual_seed(0)
        x, y = (torch.rand(1, 7, 3, generator=g, dtype=torch.float64) for _ in range(2))
        assert torch.autograd.gradcheck(loss, (x.requires_grad_(), y))


@pytest.mark.parametrize("loss", [losses.cd, losses.emd])
def test_a_set_has_no_order(loss):
    x, y = torch.rand(1, 30, 3), torch.rand(1, 30, 3)
    torch.testing.assert_close(loss(x[:, torch.randperm(30)], y[:, torch.randperm(30)]), loss(x, y))


def test_an_ordered_loss_is_not_a_set_loss():
    x = torch.rand(1, 30, 3)
    assert float(losses.l2_ordered(x.flip(1), x)) > 0.1


def test_the_ordered_loss_collapses_where_set_losses_do_not():
    """The best prediction under shuffled truths is one point n times: the lesson that the loss is kept for."""
    g = torch.Generator().manual_seed(0)
    shape = torch.rand(64, 3, generator=g)
    spread = {}
    for name, loss in (("ordered", losses.l2_ordered), ("cd", losses.cd)):
        x = (0.5 + 0.3 * torch.randn(1, 64, 3, generator=g)).requires_grad_()
        optimizer = torch.optim.Adam([x], 0.02)
        for step in range(300):
            optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 300)
            truth = shape[torch.randperm(64, generator=g)][None]
            optimizer.zero_grad()
            loss(x, truth).sum().backward()
            optimizer.step()
        spread[name] = float(x.detach()[0].std(0).mean())
    assert spread["ordered"] < 0.25 * float(shape.std(0).mean())
    assert spread["cd"] > 0.8 * float(shape.std(0).mean())


@pytest.mark.parametrize("loss", [losses.emd, losses.l2_ordered])
def test_too_few_true_points_are_refused(loss):
    with pytest.raises(UserError, match="truth has 10 and the prediction 20"):
        loss(torch.rand(1, 20, 3), torch.rand(1, 10, 3))
