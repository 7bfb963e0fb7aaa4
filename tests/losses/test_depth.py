"""Depth losses against NumPy loops in float64, their gradients, what they leave free, and hostile maps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lit3d import losses
from lit3d.errors import UserError

H, W = 6, 7


def scene(b=3, seed=0, holes=True):
    rng = np.random.default_rng(seed)
    depth, truth = rng.uniform(0.5, 3, (2, b, 1, H, W))
    mask = rng.random((b, 1, H, W)) < 0.7
    if holes:
        truth[rng.random(truth.shape) < 0.1] = 0
        truth[0, 0, 0, :3] = [math.nan, -1, math.inf]
    return torch.tensor(depth), torch.tensor(truth), torch.tensor(mask)


def chosen(depth, truth, mask):
    """Valid pairs (d, g) of one sample."""
    ok = mask & np.isfinite(truth) & (truth > 0)
    return depth[ok], truth[ok]


def silog(d, g, lam, root=False, factor=1.0):
    e = [math.log(a) - math.log(b) for a, b in zip(d, g, strict=True)]
    value = sum(x * x for x in e) / len(e) - lam * (sum(e) / len(e)) ** 2
    return factor * math.sqrt(value) if root else value


def berhu(d, g):
    e = [abs(a - b) for a, b in zip(d, g, strict=True)]
    c = 0.2 * max(e)
    return sum(x if x <= c else (x * x + c * c) / (2 * c) for x in e) / len(e)


def ssi(d, g, keep=1.0):
    def aligned(x):
        t = np.median(x)
        return (x - t) / np.mean(np.abs(x - t))

    residual = np.sort(np.abs(aligned(d) - aligned(g)))
    return residual[: len(residual) - int((1 - keep) * len(residual))].mean() / 2


NAIVE = [
    (losses.l1, {}, lambda d, g: sum(abs(a - b) for a, b in zip(d, g, strict=True)) / len(d)),
    (losses.l2, {}, lambda d, g: sum((a - b) ** 2 for a, b in zip(d, g, strict=True)) / len(d)),
    (losses.berhu, {}, berhu),
    (losses.silog, {}, lambda d, g: silog(d, g, 0.5)),
    (losses.silog, {"lam": 1.0}, lambda d, g: silog(d, g, 1.0)),
    (losses.silog, {"form": "root"}, lambda d, g: silog(d, g, 0.5, True)),
    (losses.silog, {"form": "bts"}, lambda d, g: silog(d, g, 0.85, True, 10)),
    (losses.scale_and_shift_invariant, {}, ssi),
    (losses.scale_and_shift_invariant, {"trim": 0.25}, lambda d, g: ssi(d, g, 0.75)),
    (losses.scale_and_shift_invariant, {"inverse": True}, lambda d, g: ssi(1 / d, 1 / g)),
]


@pytest.mark.parametrize(("loss", "options", "naive"), NAIVE)
def test_they_are_what_loops_over_valid_pixels_say(loss, options, naive):
    depth, truth, mask = scene()
    got = loss(depth, truth, mask, **options)
    samples = zip(depth.numpy(), truth.numpy(), mask.numpy(), strict=True)
    expected = [naive(*chosen(d, g, m)) for d, g, m in samples]
    assert got.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("log", [True, False])
def test_gradient_is_what_loops_over_pairs_say(log):
    depth, truth, mask = scene()
    got = losses.multi_scale_gradient(depth, truth, mask, scales=3, log=log)
    for i in range(len(depth)):
        d, g, ok = depth[i, 0].numpy(), truth[i, 0].numpy(), mask[i, 0].numpy()
        ok = ok & np.isfinite(g) & (g > 0)
        expected = 0.0
        for s in (1, 2, 4):
            for dy, dx in ((0, s), (s, 0)):
                found = []
                for y in range(0, H, s):
                    for x in range(0, W, s):
                        if y + dy < H and x + dx < W and ok[y, x] and ok[y + dy, x + dx]:
                            r = [math.log(d[p] / g[p]) if log else d[p] - g[p] for p in ((y, x), (y + dy, x + dx))]
                            found.append(abs(r[1] - r[0]))
                expected += sum(found) / max(len(found), 1)
        assert float(got[i]) == pytest.approx(expected)


def test_edge_aware_smoothness_is_what_loops_say():
    depth, _, mask = scene()
    image = torch.rand(3, 3, H, W, generator=torch.Generator().manual_seed(1)).double()
    got = losses.edge_aware_smoothness(depth, image, mask, sharpness=2.0)
    for i in range(3):
        disparity, ok = 1 / depth[i, 0].numpy(), mask[i, 0].numpy()
        disparity = disparity / disparity[ok].mean()
        expected = 0.0
        for dy, dx in ((0, 1), (1, 0)):
            found = []
            for y in range(H - dy):
                for x in range(W - dx):
                    if ok[y, x] and ok[y + dy, x + dx]:
                        change = float((image[i, :, y + dy, x + dx] - image[i, :, y, x]).abs().mean())
                        found.append(abs(disparity[y + dy, x + dx] - disparity[y, x]) * math.exp(-2 * change))
            expected += sum(found) / len(found)
        assert float(got[i]) == pytest.approx(expected)


def test_mask_bce_is_the_negative_log_likelihood():
    logits, mask = torch.tensor([[[[0.0, 2.0], [-3.0, 50.0]]]]), torch.tensor([[[[True, False], [False, True]]]])
    p = [0.5, 1 - 1 / (1 + math.exp(-2)), 1 - 1 / (1 + math.exp(3)), 1.0]
    assert float(losses.mask_bce(logits, mask)) == pytest.approx(-sum(map(math.log, p)) / 4, rel=1e-5)


def test_what_each_loss_leaves_free():
    depth, truth, mask = scene(holes=False)
    truth = truth.clone()
    for free, same in [
        (lambda: losses.silog(3 * depth, truth, mask, lam=1.0), lambda: losses.silog(depth, truth, mask, lam=1.0)),
        (lambda: losses.scale_and_shift_invariant(3 * depth + 1, truth, mask),
         lambda: losses.scale_and_shift_invariant(depth, truth, mask)),
        (lambda: losses.multi_scale_gradient(3 * depth, truth, mask),
         lambda: losses.multi_scale_gradient(depth, truth, mask)),
        (lambda: losses.multi_scale_gradient(depth + 1, truth, mask, log=False),
         lambda: losses.multi_scale_gradient(depth, truth, mask, log=False)),
    ]:  # fmt: skip
        torch.testing.assert_close(free(), same())
    assert (losses.silog(3 * depth, truth, mask) - losses.silog(depth, truth, mask)).abs().min() > 0.01
    for loss in (losses.l1, losses.l2, losses.berhu, losses.silog, losses.scale_and_shift_invariant):
        assert float(loss(truth, truth, mask).abs().max()) < 1e-12


@pytest.mark.parametrize(("loss", "minimiser"), [(losses.l2, 0.3 * 1 + 0.7 * 2), (losses.l1, 2.0)])
def test_an_uncertain_edge_l2_takes_the_mean_and_l1_the_median(loss, minimiser):
    truth = torch.where(torch.arange(10) < 3, 1.0, 2.0).double()[:, None, None, None]  # 10 samples of one pixel
    tried = torch.linspace(0.9, 2.1, 241).double()
    values = [float(loss(d.expand(10, 1, 1, 1), truth, torch.ones(10, 1, 1, 1).bool()).mean()) for d in tried]
    assert float(tried[int(np.argmin(values))]) == pytest.approx(minimiser, abs=0.005)


DEPTH_LOSSES = [
    losses.l1, losses.l2, losses.berhu, losses.silog, losses.scale_and_shift_invariant, losses.multi_scale_gradient
]  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"form": "root"}, {"form": "bts"}])
def test_silog_gradients(options):
    depth, truth, mask = scene(2, 3)
    assert torch.autograd.gradcheck(lambda d: losses.silog(d, truth, mask, **options), depth.requires_grad_())


@pytest.mark.parametrize("loss", [losses.l2, losses.l1, losses.multi_scale_gradient,
                                  losses.scale_and_shift_invariant])  # fmt: skip
def test_gradients(loss):
    depth, truth, mask = scene(2, 4)
    assert torch.autograd.gradcheck(lambda d: loss(d, truth, mask), depth.requires_grad_())


def test_gradient_of_berhu_with_its_threshold_held():
    depth, truth, mask = scene(1, 5, holes=False)
    depth.requires_grad_()
    got = torch.autograd.grad(losses.berhu(depth, truth, mask).sum(), depth)[0]
    error = (depth - truth).detach()
    c = 0.2 * error[mask].abs().max()
    expected = torch.where(error.abs() > c, error / c, error.sign()) * mask / mask.sum()
    torch.testing.assert_close(got, expected)


def test_gradient_of_smoothness():
    depth, _, mask = scene(2, 6)
    image = torch.rand(2, 3, H, W).double()
    assert torch.autograd.gradcheck(lambda d: losses.edge_aware_smoothness(d, image, mask), depth.requires_grad_())


VALUES = st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 1e-30, 1e-3, 1.0, 2.0, 1000.0])


@settings(max_examples=60, deadline=None)
@given(
    truth=st.lists(VALUES, min_size=16, max_size=16),
    mask=st.lists(st.booleans(), min_size=16, max_size=16),
    pred=st.lists(st.sampled_from([-100.0, -1.0, 0.0, 1e-6, 1.0, 1.0, 2.0, 1e4]), min_size=16, max_size=16),
    loss=st.sampled_from(DEPTH_LOSSES),
)
def test_no_truth_makes_a_loss_or_a_gradient_that_is_not_finite(truth, mask, pred, loss):
    depth = torch.tensor(pred).reshape(1, 1, 4, 4).requires_grad_()
    target, ok = torch.tensor(truth).reshape(1, 1, 4, 4), torch.tensor(mask).reshape(1, 1, 4, 4)
    value = loss(depth, target, ok)
    value.sum().backward()
    assert value.isfinite().all()
    assert depth.grad.isfinite().all()
    valid = ok & target.isfinite() & (target > 0)
    assert depth.grad[~valid].abs().sum() == 0


@pytest.mark.parametrize("loss", DEPTH_LOSSES)
def test_a_sample_without_truth_costs_nothing_and_does_not_touch_the_others(loss):
    depth, truth, mask = scene(holes=False)
    alone = loss(depth[1:2], truth[1:2], mask[1:2])
    truth[0], mask[2] = math.nan, False
    depth[0, 0, 0, 0] = math.nan  # off the valid pixels nothing counts
    depth.requires_grad_()
    value = loss(depth, truth, mask)
    value.sum().backward()
    assert value[[0, 2]].tolist() == [0, 0]
    torch.testing.assert_close(value[1:2], alone)
    assert depth.grad[[0, 2]].abs().sum() == 0
    assert depth.grad.isfinite().all()


@pytest.mark.parametrize("loss", DEPTH_LOSSES)
def test_a_prediction_that_is_not_finite_is_not_hidden(loss):
    depth, truth, mask = scene(1, holes=False)
    depth[mask] = math.nan
    assert not loss(depth, truth, mask).isfinite().any()


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda *m: losses.berhu(*m, share=0.0), "share must be"), (lambda *m: losses.silog(*m, form="x"), "form must be"),
    (lambda *m: losses.silog(*m, lam=2.0), "lam must be"),
    (lambda *m: losses.scale_and_shift_invariant(*m, trim=1.0), "trim must be"),
    (lambda *m: losses.multi_scale_gradient(*m, scales=0), "scales must be"),
])  # fmt: skip
def test_wrong_settings_are_sentences(call, sentence):
    with pytest.raises(UserError, match=sentence):
        call(*scene())
