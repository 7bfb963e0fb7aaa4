"""Losses between a predicted and a true depth map, one number a sample.

`depth` and `true_depth` (b, 1, h, w) are camera z in the scene's unit, the object's longest side in our datasets. All
means run over the valid pixels: those of the mask whose true depth is finite and above 0. A sample without any has
loss 0 and no gradient. What is predicted off these pixels does not count; on them, what is not finite makes the loss
so, and training stops. Predictions of 0 or less are legal everywhere: logarithm and inverse go on as straight lines.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lit3d.errors import UserError
from lit3d.ops.depth import inverse_depth, log_depth, pairs, valid_depth
from lit3d.ops.masked import masked_mean, masked_median, trimmed_mean
from lit3d.ops.neighbours import safe_sqrt

Map = Float[Tensor, "b 1 h w"]
Mask = Bool[Tensor, "b 1 h w"]
SILOG = {"eigen": 0.5, "root": 0.5, "bts": 0.85}  # published lambda of each form
LEAST_SCALE = 1e-3  # by which a constant prediction is divided, whose own is 0


def l1(depth: Map, true_depth: Map, mask: Mask) -> Float[Tensor, " b"]:
    """Mean |d - g|. Where an edge may be in two places its minimiser is the median: one of the two surfaces."""
    valid = valid_depth(true_depth, mask)
    return masked_mean(_error(depth, true_depth, valid).abs(), valid)


def l2(depth: Map, true_depth: Map, mask: Mask) -> Float[Tensor, " b"]:
    """Mean (d - g)^2. Where an edge may be in two places its minimiser is the mean: a point between the surfaces."""
    valid = valid_depth(true_depth, mask)
    return masked_mean(_error(depth, true_depth, valid).square(), valid)


def berhu(depth: Map, true_depth: Map, mask: Mask, share: float = 0.2) -> Float[Tensor, " b"]:
    """Reverse Huber (Laina et al. 2016): |e| up to c, (e^2 + c^2) / 2c beyond.

    c is `share` of the greatest |e| of the sample (of the batch in the paper), taken without gradient.

    Raises:
        UserError: share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise UserError(f"share must be above 0 and at most 1, but is {share}")
    valid = valid_depth(true_depth, mask)
    error = _error(depth, true_depth, valid).abs()
    c = share * error.detach().flatten(1).amax(1)[:, None, None, None]
    c = torch.where(c > 0, c, 1.0)
    return masked_mean(torch.where(error > c, (error * (error / c) + c) / 2, error), valid)


def silog(
    depth: Map, true_depth: Map, mask: Mask, form: str = "eigen", lam: float | None = None
) -> Float[Tensor, " b"]:
    """Scale-invariant logarithmic error of e = log d - log g, in three published forms.

    `eigen`: mean e^2 - lam (mean e)^2 with lam 0.5 (Eigen et al. 2014, training loss). `root`: its square root, as
    ZoeDepth and Depth Anything V2 train. `bts`: 10 times the root with lam 0.85 (the code of Lee et al. 2019; early
    versions of the paper leave out the root). lam 1 leaves the scale free: e's variance. The derivative of a root at 0
    is taken as 0.

    Args:
        depth: prediction.
        true_depth: truth.
        mask: pixels that count.
        form: see above.
        lam: in [0, 1]; None: the published one.

    Raises:
        UserError: no such form; lam not in [0, 1].
    """
    if form not in SILOG:
        raise UserError(f"form must be one of {', '.join(SILOG)}, but is '{form}'")
    lam = SILOG[form] if lam is None else lam
    if not 0 <= lam <= 1:
        raise UserError(f"lam must be from 0 to 1 (free scale), but is {lam}")
    valid = valid_depth(true_depth, mask)
    error = log_depth(torch.where(valid, depth, 1.0)) - torch.where(valid, true_depth, 1.0).log()
    mean = masked_mean(error, valid)
    variance = masked_mean((error - mean[:, None, None, None]).square(), valid)
    value = variance + (1 - lam) * mean.square()  # never below 0, whatever rounds
    return value if form == "eigen" else (10 if form == "bts" else 1) * safe_sqrt(value)


def scale_and_shift_invariant(
    depth: Map, true_depth: Map, mask: Mask, trim: float = 0.0, inverse: bool = False
) -> Float[Tensor, " b"]:
    """MiDaS (Ranftl et al. 2022, equations 5 to 7): half the mean |d' - g'| after aligning each by itself.

    d' = (d - t) / s with the median t and s = mean |d - t|, so that neither scale nor shift counts; its minimum does
    not say how far anything is. Trimmed, it is the mean of what is kept; the paper divides by all pixels.

    Args:
        depth: prediction.
        true_depth: truth.
        mask: pixels that count.
        trim: share of the greatest residuals that is left out; 0.2 in the paper's trimmed form.
        inverse: of 1/depth, as published for training on disparity.

    Raises:
        UserError: trim not in [0, 1).
    """
    if not 0 <= trim < 1:
        raise UserError(f"trim must be at least 0 and below 1, but is {trim}")
    valid = valid_depth(true_depth, mask)
    d, g = torch.where(valid, depth, 1.0), torch.where(valid, true_depth, 1.0)
    if inverse:
        d, g = inverse_depth(d), 1 / g
    return trimmed_mean((_aligned(d, valid) - _aligned(g, valid)).abs(), valid, highest=trim) / 2


def _aligned(values: Tensor, valid: Tensor) -> Tensor:
    """(values - median) / mean distance from it, per sample."""
    centred = values - masked_median(values, valid)[:, None, None, None]
    return centred / masked_mean(centred.abs(), valid).clamp_min(LEAST_SCALE)[:, None, None, None]


def multi_scale_gradient(
    depth: Map, true_depth: Map, mask: Mask, scales: int = 4, log: bool = True
) -> Float[Tensor, " b"]:
    """Sum over scales of mean |dx R| + mean |dy R| of the residual R (Li and Snavely 2018, gradient matching).

    R = log d - log g, or d - g; at scale k every 2^k-th pixel is compared with the next. Constant errors cost nothing:
    it goes with another loss. Pairs whose pixels are both valid count.

    Raises:
        UserError: no scales.
    """
    if scales < 1:
        raise UserError(f"scales must be at least 1, but is {scales}")
    valid = valid_depth(true_depth, mask)
    if log:
        error = log_depth(torch.where(valid, depth, 1.0)) - torch.where(valid, true_depth, 1.0).log()
    else:
        error = _error(depth, true_depth, valid)
    total = torch.zeros(len(depth), dtype=depth.dtype, device=depth.device)
    for step in (2**k for k in range(scales)):
        coarse, known = error[..., ::step, ::step], valid[..., ::step, ::step]
        for (a, b), (ok_a, ok_b) in zip(pairs(coarse), pairs(known), strict=True):
            total = total + masked_mean((b - a).abs(), ok_a & ok_b)
    return total


def edge_aware_smoothness(
    depth: Map, image: Float[Tensor, "b c h w"], mask: Mask, sharpness: float = 1.0
) -> Float[Tensor, " b"]:
    """Mean |dx D| exp(-|dx I|) + mean |dy D| exp(-|dy I|), D the disparity 1/d over its mean (Godard et al. 2019).

    On neighbouring pixels of the mask; |d I| is the mean over colours in [0, 1], times `sharpness`, as in their code.
    It reads no true depth, and pulls slanted planes towards the viewer: keep its weight small.
    """
    disparity = inverse_depth(torch.where(mask, depth, 1.0))
    mean = masked_mean(disparity, mask)[:, None, None, None]
    disparity = disparity / torch.where(mean > 0, mean, 1.0)
    total = torch.zeros(len(depth), dtype=depth.dtype, device=depth.device)
    for (a, b), (i, j), (ok_a, ok_b) in zip(pairs(disparity), pairs(image), pairs(mask), strict=True):
        change = (j - i).abs().mean(1, keepdim=True)
        total = total + masked_mean((b - a).abs() * (-sharpness * change).exp(), ok_a & ok_b)
    return total


def mask_bce(mask_logits: Map, mask: Mask) -> Float[Tensor, " b"]:
    """Mean binary cross-entropy of a mask head over all pixels, in nats."""
    truth = mask.to(mask_logits.dtype)
    return binary_cross_entropy_with_logits(mask_logits, truth, reduction="none").flatten(1).mean(1)


def _error(depth: Tensor, true_depth: Tensor, valid: Tensor) -> Tensor:
    """D - g on valid pixels, 0 elsewhere; chosen before subtracting, so that no NaN gets into a gradient."""
    return torch.where(valid, depth, 0.0) - torch.where(valid, true_depth, 0.0)
