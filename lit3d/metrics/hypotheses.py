"""Scores of a model that gives several answers to one image, and of any model where all true shapes are known.

`answers` (b, k, n, 3) are k predicted sets of each image. An image that does not tell everything has a posterior: the
values of what it hides, their probabilities (b, p) and the true points (b, p, m, 3) of each value, its *modes*. An
answer that is not finite is a counted failure, which is on no mode. docs/several_answers.md explains all of it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lit3d import ops
from lit3d.errors import UserError
from lit3d.metrics.point_sets import distances, is_failure, more_is_better
from lit3d.ops.sampling import random_subset

DIVERSITY_POINTS = 256


def best_and_mean(scores: Mapping[str, Float[Tensor, "b k"]]) -> dict[str, Float[Tensor, " b"]]:
    """`best_of_<k>/<name>` and `mean_of_<k>/<name>` of scores that each answer has.

    Each score takes its own best answer: the greatest of shares, the least of distances and of `failure`.
    """
    found = {}
    for name, values in scores.items():
        k = values.shape[1]
        found[f"best_of_{k}/{name}"] = values.amax(1) if more_is_better(name) else values.amin(1)
        found[f"mean_of_{k}/{name}"] = values.mean(1)
    return found


def diversity(answers: Float[Tensor, "b k n 3"], points: int = DIVERSITY_POINTS) -> Float[Tensor, " b"]:
    """Mean exact Earth Mover's Distance between two answers, over all pairs; 0 where all are the same.

    Of each answer the same `points` points are taken at random, so that equal answers are at distance 0. Pairs with a
    failure are left out; 0 where no pair is left.
    """
    b, k = answers.shape[:2]
    good = ~is_failure(answers.flatten(0, 1)).unflatten(0, (b, k))
    sample, i, j = _pairs_of(good)
    total = answers.new_zeros(b)
    if len(sample):
        few = thinned(answers, points)
        total.index_add_(0, sample, _emd(few[sample, i], few[sample, j]))
    return total / torch.bincount(sample, minlength=b).clamp_min(1)


def _pairs_of(good: Bool[Tensor, "b k"]) -> tuple[Int[Tensor, " q"], Int[Tensor, " q"], Int[Tensor, " q"]]:
    """Sample, i and j > i of all pairs whose two members are good."""
    sample, i, j = (good[:, :, None] & good[:, None]).triu(1).nonzero(as_tuple=True)
    return sample, i, j


class Coverage(NamedTuple):
    """Which answer is on which mode."""

    mode: Int[Tensor, "b k"]  # the mode that each answer is on; -1: none
    covered: Bool[Tensor, "b p"]  # whether an answer is on it; False where the probability is 0
    apart: Float[Tensor, "b p"]  # EMD to the nearest other mode; infinite where there is none


@torch.no_grad()
def coverage(
    answers: Float[Tensor, "b k n 3"],
    posterior: Float[Tensor, "b p"],
    modes: Float[Tensor, "b p m 3"],
    points: int = 1024,
) -> Coverage:
    """An answer is on a mode if its EMD to it is strictly under half the mode's EMD to the nearest other mode.

    By the triangle inequality it can be on one mode only, so that lower bounds save most of the matchings. Modes at
    distance 0 are one mode under several names, covered together. A mode without another is covered by any finite
    answer: there is nothing to confuse it with.

    Args:
        answers: k sets of each image.
        posterior: probabilities; values with probability 0 are padding and not looked at.
        modes: true points of each value.
        points: the most that are compared, by an exact bijection, with as many of n and m as there are. Two samples
            of one surface are about 0.04 apart at 1,024 points, more at fewer: modes within twice that cannot be told.

    Raises:
        UserError: an image without a mode, or a mode with probability that is not finite.
    """
    real = posterior > 0
    _check(real, modes)
    if not answers.shape[2]:  # empty ones
        answers = answers.new_full((*answers.shape[:2], *modes.shape[2:]), torch.nan)
    size = min(points, answers.shape[2], modes.shape[2])
    ours, theirs = thinned(answers, size), modes[:, :, :size].contiguous()
    between = _between(theirs, real)
    apart = torch.where(between > 0, between, torch.inf).amin(2)
    failed = is_failure(answers.flatten(0, 1)).unflatten(0, answers.shape[:2])
    ours = torch.where(failed[..., None, None], 0.0, ours)
    bound = torch.where(real[:, None] & ~failed[..., None], _lower_bound(ours, theirs, real), torch.inf)
    mode = _modes_of(ours, theirs, bound, apart / 2)
    hit = (mode[..., None] == torch.arange(posterior.shape[1], device=mode.device)).any(1)
    covered = ((between == 0) & hit[:, None]).any(2) & real
    return Coverage(mode, covered, apart)


def coverage_scores(found: Coverage, posterior: Float[Tensor, "b p"]) -> dict[str, Float[Tensor, " b"]]:
    """Per-image scores of a coverage.

    Returns:
        `modes_covered`: share of the modes that an answer is on; `all_modes_covered`: 1 where that is all of them;
        `answers_on_modes`: share of the answers that are on some mode; `mode_distance`: mean EMD of a mode to the
        nearest other one, 0 where there is a single one.
    """
    real = posterior > 0
    share = found.covered.sum(1) / real.sum(1)
    has_other = real & found.apart.isfinite()
    distance = torch.where(has_other, found.apart, 0.0).sum(1) / has_other.sum(1).clamp_min(1)
    return {
        "modes_covered": share,
        "all_modes_covered": (share == 1).to(share.dtype),
        "answers_on_modes": (found.mode >= 0).to(share.dtype).mean(1),
        "mode_distance": distance.to(share.dtype),
    }


def thinned(answers: Float[Tensor, "b k n 3"], points: int) -> Float[Tensor, "b k s 3"]:
    """The same `points` points of each answer, drawn from a fixed seed; all where there are no more."""
    if answers.shape[2] <= points:
        return answers.contiguous()
    numbers = torch.arange(answers.shape[2])[None, :, None].float()
    chosen = random_subset(numbers, points, torch.Generator().manual_seed(0))[0, :, 0].long()
    return answers[:, :, chosen.to(answers.device)].contiguous()


def _check(real: Bool[Tensor, "b p"], modes: Tensor) -> None:
    if not bool(real.any(1).all()):
        raise UserError("an image has a posterior without a value of probability above 0: make its dataset again")
    if not bool(modes.flatten(2).isfinite().all(2)[real].all()):
        raise UserError("the true points of a posterior's value are not finite: make its dataset again")


def _emd(x: Float[Tensor, "q s 3"], y: Float[Tensor, "q s 3"]) -> Float[Tensor, " q"]:
    return ops.emd(x.contiguous(), y.contiguous()).to(x.dtype)


def _between(modes: Float[Tensor, "b p s 3"], real: Bool[Tensor, "b p"]) -> Float[Tensor, "b p p"]:
    """EMD between modes; infinite to padding."""
    b, p = real.shape
    found = modes.new_full((b, p, p), torch.inf)
    found[:, range(p), range(p)] = torch.where(real, 0.0, torch.inf)
    sample, i, j = _pairs_of(real)
    if len(sample):
        found[sample, i, j] = found[sample, j, i] = _emd(modes[sample, i], modes[sample, j])
    return found


def _lower_bound(
    ours: Float[Tensor, "b k s 3"], theirs: Float[Tensor, "b p s 3"], real: Bool[Tensor, "b p"]
) -> Float[Tensor, "b k p"]:
    """No EMD is below the distance of the centroids, nor below the mean distance to the nearest point, either way."""
    b, k, p = *ours.shape[:2], theirs.shape[1]
    theirs = torch.where(real[..., None, None], theirs, 0.0)
    x = ours[:, :, None].expand(-1, -1, p, -1, -1).flatten(0, 2)
    y = theirs[:, None].expand(-1, k, -1, -1, -1).flatten(0, 2)
    d = distances(x.contiguous(), y.contiguous())
    centres = (x.mean(1) - y.mean(1)).norm(dim=1)
    bound = torch.stack([d.accuracy.mean(1), d.completeness.mean(1), centres]).amax(0)
    return bound.unflatten(0, (b, k, p)) * (1 - 1e-5)  # of rounding


def _modes_of(
    ours: Float[Tensor, "b k s 3"],
    theirs: Float[Tensor, "b p s 3"],
    bound: Float[Tensor, "b k p"],
    radius: Float[Tensor, "b p"],
) -> Int[Tensor, "b k"]:
    """The mode whose radius each answer is within, the likeliest tried first; -1: none."""
    mode = torch.full(ours.shape[:2], -1, device=ours.device)
    bound = torch.where(bound < radius[:, None], bound, torch.inf)
    while bool((left := bound.isfinite().any(2)).any()):
        sample, answer = left.nonzero(as_tuple=True)
        tried = bound[sample, answer].argmin(1)
        on = _emd(ours[sample, answer], theirs[sample, tried]) < radius[sample, tried]
        bound[sample, answer, tried] = torch.inf
        bound[sample[on], answer[on]] = torch.inf
        mode[sample[on], answer[on]] = tried[on]
    return mode
