from dataclasses import dataclass

import pytest
import torch

from lit3d.errors import UserError
from lit3d.losses import Term, cd, check_terms, emd, l2_ordered, of_best
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


# --- several answers ----------------------------------------------------------------------------------------------


def several(b=8, k=4, n=6, m=6):
    draw = torch.Generator().manual_seed(0)
    answers = torch.rand(b, k, n, 3, generator=draw).requires_grad_()
    return PointSet(answers[:, 0], hypotheses=answers), {"points": torch.rand(b, m, 3, generator=draw)}


@pytest.mark.parametrize("function", [cd, emd, l2_ordered])
def test_the_best_answer_counts_and_learns_alone(function):
    prediction, batch = several()
    pairs = zip(prediction.hypotheses.detach(), batch["points"], strict=True)
    naive = [[float(function(a[None], truth[None])) for a in row] for row, truth in pairs]
    best = [row.index(min(row)) for row in naive]
    assert len(set(best)) > 1
    one = term(function=function)
    torch.testing.assert_close(one.of_each(prediction, batch), torch.tensor(naive))
    loss = of_best([one], prediction, batch, 0)["cd"]
    torch.testing.assert_close(loss, torch.tensor([min(row) for row in naive]))
    torch.testing.assert_close(loss, one(prediction, batch))
    (slope,) = torch.autograd.grad(loss.sum(), prediction.hypotheses)
    assert [[bool(s.any()) for s in row] for row in slope] == [[j == i for j in range(4)] for i in best]


def test_of_several_terms_the_least_weighted_sum_counts():
    answers = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 3)
    prediction, batch = PointSet(answers[:, 0], hypotheses=answers), {"points": torch.zeros(1, 2, 3)}
    rise = term(name="rise", function=lambda p, _: p[:, 0, 0], weight=1.0, schedule=[(0, 1.0), (10, 3.0)])
    fall = term(name="fall", function=lambda p, _: 4 / p[:, 0, 0], weight=1.0)

    def at(step):
        return {k: float(v) for k, v in of_best([rise, fall], prediction, batch, step).items()}

    assert at(0) == {"rise": 2.0, "fall": 2.0}  # 1 + 4, 2 + 2, 3 + 4/3; each for itself: 1 and 4/3
    assert at(10) == {"rise": 1.0, "fall": 4.0}  # 3 + 4, 6 + 2, 9 + 4/3


def test_a_term_that_reads_something_else_counts_for_all_answers():
    prediction, batch = several(2, 3)
    batch["total"] = torch.zeros(2)
    other = term(name="other", pred="hypotheses", target="total", function=lambda p, _: p.flatten(1).sum(1))
    values = of_best([term(), other], prediction, batch, 0)
    torch.testing.assert_close(values["other"], prediction.hypotheses.flatten(1).sum(1))
    torch.testing.assert_close(values["cd"], of_best([term()], prediction, batch, 0)["cd"])


def test_one_answer_is_the_same_with_and_without_the_minimum():
    points, truth = torch.rand(3, 5, 3, requires_grad=True), {"points": torch.rand(3, 5, 3)}
    (plain,) = torch.autograd.grad(cd(points, truth["points"]).mean(), points)
    for prediction in (PointSet(points), PointSet(points, hypotheses=points[:, None])):
        value = of_best([term()], prediction, truth, 0)["cd"]
        assert torch.equal(value, cd(points, truth["points"]))
        assert torch.equal(torch.autograd.grad(value.mean(), points)[0], plain)


def test_an_answer_that_is_not_finite_is_not_overlooked():
    prediction, batch = several(1)
    answers = prediction.hypotheses.detach().clone()
    answers[0, 2, 0, 0] = torch.nan
    values = of_best([term(function=l2_ordered)], PointSet(answers[:, 0], hypotheses=answers), batch, 0)
    assert values["cd"].isnan().all()


# --- several tensors, stages --------------------------------------------------------------------------------------


def masked(pred, target, mask, power=1):
    return ((pred - target).abs().pow(power).sum(2) * mask).mean(1)


def test_a_term_reads_several_tensors_and_none():
    x, y, mask = torch.rand(2, 5, 3), torch.rand(2, 5, 3), torch.ones(2, 5)
    both = term(function=masked, target=["points", "mask"])
    assert (both.reads, both.targets) == (("points",), ("points", "mask"))
    torch.testing.assert_close(both(PointSet(x), {"points": y, "mask": mask}), masked(x, y, mask))
    alone = term(function=lambda p: p.square().mean((1, 2)), target=[])
    torch.testing.assert_close(alone(PointSet(x), {}), x.square().mean((1, 2)))


def test_a_term_over_all_stages_is_their_mean():
    @dataclass(frozen=True)
    class Staged(PointSet):
        before: tuple = ()

        @property
        def stages(self):
            return (*self.before, self)

    x, y = torch.rand(3, 2, 5, 3), torch.rand(2, 6, 3)
    prediction = Staged(x[2], before=(PointSet(x[0]), PointSet(x[1])))
    mean = torch.stack([cd(part, y) for part in x]).mean(0)
    torch.testing.assert_close(term(stages="all")(prediction, {"points": y}), mean)
    torch.testing.assert_close(term()(prediction, {"points": y}), cd(x[2], y))
    with pytest.raises(UserError, match="stages must be all or null, got 'last'"):
        term(stages="last")


def test_what_a_model_does_not_fill_is_refused():
    with pytest.raises(UserError, match=r"reads 'points', but model 'm' predicts points as it is configured"):
        check_terms([term()], "m", PointSet, ["x"], gives=())
