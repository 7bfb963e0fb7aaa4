import pytest
import torch

from lit3d.errors import UserError
from lit3d.losses import Term, cd, check_terms
from lit3d.structures import PointSet


def term(**changes):
    return Term(**({"name": "cd", "function": cd, "pred": "points", "target": "points"} | changes))


def test_a_term_reads_by_name():
    x, y = torch.rand(2, 5, 3), torch.rand(2, 6, 3)
    torch.testing.assert_close(term()(PointSet(x), {"points": y}), cd(x, y))


def test_a_schedule_is_linear_and_constant_outside():
    t = term(weight=2.0, schedule=[(10, 0.0), (20, 1.0)])
    assert [t.factor(s) for s in (0, 10, 15, 20, 99)] == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("changes", [{"weight": float("nan")}, {"schedule": []}, {"schedule": [(5, 1.0), (5, 2.0)]}])
def test_nonsense_is_refused(changes):
    with pytest.raises(UserError, match=r"loss\.cd\."):
        term(**changes)


def test_a_term_that_does_not_fit_is_refused_with_what_fits():
    with pytest.raises(UserError, match="loss 'silog' reads 'depth', but model 'pointset' predicts points; .*cd, emd"):
        check_terms([term(name="silog", pred="depth")], "pointset", PointSet, ["cd", "emd"])
    with pytest.raises(UserError, match="no loss is chosen"):
        check_terms([], "pointset", PointSet, ["cd"])
    check_terms([term()], "pointset", PointSet, ["cd"])


def test_losses_and_scores_are_computed_in_float32_under_autocast():
    from lit3d.metrics import SetMetrics

    seen = []

    def loss(pred, target):
        seen.append((pred @ target.transpose(1, 2)).dtype)  # autocast would take bfloat16
        return (pred - target).square().sum((1, 2))

    prediction, batch = PointSet(torch.rand(2, 8, 3)), {"points": torch.rand(2, 8, 3)}
    frames = torch.eye(4).expand(2, 4, 4)
    metrics = SetMetrics(points=8, protocols=["all"], emd=True)
    plain = metrics.score(prediction.points, batch["points"], True, frames)
    with torch.autocast("cpu", torch.bfloat16):
        Term("x", loss, pred="points", target="points")(prediction, batch)
        mixed = metrics.score(prediction.points, batch["points"], True, frames)
    assert seen == [torch.float32]
    assert all(torch.equal(plain[k], mixed[k]) for k in plain)
