import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d.errors import UserError
from lit3d.metrics import hypotheses
from lit3d.metrics.hypotheses import best_and_mean, coverage, coverage_scores, diversity


def emd(x, y):
    cost = cdist(x, y)
    return cost[linear_sum_assignment(cost)].mean()


def naive_coverage(answers, posterior, modes):
    """By the definition, image by image: (covered modes, answers on a mode) without any bound or inequality."""
    covered, on = np.zeros(posterior.shape, bool), np.zeros(answers.shape[:2], bool)
    for b, weights in enumerate(posterior):
        real = [p for p, weight in enumerate(weights) if weight > 0]
        for p in real:
            others = [emd(modes[b, p], modes[b, q]) for q in real]
            radius = min([d for d in others if d > 0], default=math.inf) / 2
            for j, answer in enumerate(answers[b]):
                if np.isfinite(answer).all() and emd(answer, modes[b, p]) < radius:
                    covered[b, p] = on[b, j] = True
    return covered, on


def case(b=4, k=5, p=3, n=12, seed=0, spread=0.15):
    draw = torch.Generator().manual_seed(seed)
    modes = torch.rand(b, p, n, 3, generator=draw)
    posterior = torch.full((b, p), 1 / p)
    source = torch.randint(p, (b, k), generator=draw)
    answers = modes.gather(1, source[..., None, None].expand(-1, -1, n, 3))
    size = spread * torch.arange(k)[:, None, None]  # the first answers are on their modes, the last ones on none
    return answers + size * torch.randn(b, k, n, 3, generator=draw), posterior, modes


@pytest.mark.parametrize("seed", range(4))
def test_coverage_is_what_the_definition_says(seed):
    answers, posterior, modes = case(seed=seed)
    posterior[1] = torch.tensor([0.2, 0.0, 0.8])  # padding in the middle
    modes[1, 1] = torch.nan
    posterior[2] = torch.tensor([0.0, 1.0, 0.0])  # one mode
    modes[3, 2] = modes[3, 0]  # one mode under two names
    answers[0, 0, 3, 1] = torch.nan
    answers[2, :4] = torch.inf
    found = coverage(answers, posterior, modes)
    covered, on = naive_coverage(answers.numpy(), posterior.numpy(), modes.numpy())
    assert found.covered.tolist() == covered.tolist()
    assert (found.mode >= 0).tolist() == on.tolist()
    assert 0 < on.sum() < on.size
    assert found.covered[2].tolist() == [False, True, False]  # by its one finite answer
    assert found.covered[3, 0] == found.covered[3, 2]


def test_scores_of_a_coverage():
    modes = torch.zeros(3, 3, 4, 3)
    modes[:, 1, :, 0], modes[:, 2, :, 0] = 1.0, 4.0
    posterior = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    answers = torch.zeros(3, 3, 4, 3)
    answers[:, 1, :, 0], answers[:, 2, :, 0] = 0.5, 1.4  # at half the distance, which is not under it; near the second
    scores = coverage_scores(coverage(answers, posterior, modes), posterior)
    torch.testing.assert_close(scores["modes_covered"], torch.tensor([2 / 3, 1, 1]))
    assert scores["all_modes_covered"].tolist() == [0, 1, 1]
    torch.testing.assert_close(scores["answers_on_modes"], torch.tensor([2 / 3, 2 / 3, 1]))
    torch.testing.assert_close(scores["mode_distance"], torch.tensor([(1 + 1 + 3) / 3, 1, 0]))


def test_the_mean_of_two_modes_covers_neither_and_a_single_answer_one_at_most():
    draw = torch.Generator().manual_seed(0)
    modes = torch.randn(1, 2, 50, 3, generator=draw) * 0.02
    modes[0, 1, :, 0] += 1
    posterior = torch.tensor([[0.5, 0.5]])
    middle = (modes[:, :1] + modes[:, 1:]) / 2
    for answer, expected in ((middle, 0.0), (modes[:, :1], 0.5), (modes, 1.0)):
        assert float(coverage_scores(coverage(answer, posterior, modes), posterior)["modes_covered"]) == expected


def test_few_matchings_are_made(monkeypatch):
    made = []
    real = hypotheses._emd
    monkeypatch.setattr(hypotheses, "_emd", lambda x, y: made.append(len(x)) or real(x, y))
    draw = torch.Generator().manual_seed(0)
    modes = torch.randn(1, 2, 50, 3, generator=draw) * 0.02
    modes[0, 1, :, 0] += 1
    coverage(modes[:, [0, 1, 0, 1, 1, 0, 0, 1]], torch.tensor([[0.5, 0.5]]), modes)
    assert sum(made) == 1 + 8  # of the modes, and one for each answer


def test_sets_of_different_sizes_and_a_budget_of_points():
    answers, posterior, modes = case(n=40, spread=0)
    for n, m, points in ((40, 40, 16), (30, 40, 1024), (40, 25, 1024)):
        found = coverage(answers[:, :, :n], posterior, modes[:, :, :m], points)
        assert found.mode.shape == (4, 5)
    whole = coverage(answers[:, :, torch.randperm(40)], posterior, modes)
    assert (whole.mode >= 0).all()  # sets have no order


def test_a_broken_posterior_is_refused():
    answers, posterior, modes = case()
    with pytest.raises(UserError, match="without a value of probability above 0"):
        coverage(answers, torch.zeros_like(posterior), modes)
    modes[0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        coverage(answers, posterior, modes)


def test_diversity_is_the_mean_over_pairs():
    answers = torch.rand(3, 4, 20, 3, generator=torch.Generator().manual_seed(0))
    answers[1, 2, 0, 0] = torch.nan
    answers[2] = answers[2, :1]
    every = list(itertools.combinations(range(4), 2))
    naive = [np.mean([emd(answers[0, i], answers[0, j]) for i, j in every]),
             np.mean([emd(answers[1, i], answers[1, j]) for i, j in every if 2 not in (i, j)]), 0.0]  # fmt: skip
    torch.testing.assert_close(diversity(answers), torch.tensor(naive, dtype=torch.float32))
    assert diversity(torch.full((1, 3, 5, 3), torch.nan)).tolist() == [0]
    assert diversity(answers[:, :1]).tolist() == [0, 0, 0]
    moved = answers[:1, :1] + torch.tensor([0.0, 0.3])[None, :, None, None]
    torch.testing.assert_close(diversity(moved, points=7), torch.tensor([0.3 * math.sqrt(3)]))


def test_each_score_takes_its_own_best_answer():
    scores = {"emd": torch.tensor([[3.0, 1.0], [2.0, 4.0]]), "fscore_5pct": torch.tensor([[0.3, 0.1], [0.2, 0.4]]),
              "failure": torch.tensor([[1.0, 0.0], [1.0, 1.0]])}  # fmt: skip
    found = {k: [round(x, 6) for x in v.tolist()] for k, v in best_and_mean(scores).items()}
    assert found == {
        "best_of_2/emd": [1, 2], "mean_of_2/emd": [2, 3], "best_of_2/fscore_5pct": [0.3, 0.4],
        "mean_of_2/fscore_5pct": [0.2, 0.3], "best_of_2/failure": [0, 1], "mean_of_2/failure": [0.5, 1],
    }  # fmt: skip
