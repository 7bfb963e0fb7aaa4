import math

import pytest
import torch
from torch import nn

from lit3d.modules import MuonAdamW, one_cycle, warmup_cosine
from lit3d.modules.optimizers import is_matrix


def network(channels_last=False):
    torch.manual_seed(0)
    convolutions = nn.Conv2d(4, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 20, 3)
    layers = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(720, 3))
    return layers.to(memory_format=torch.channels_last) if channels_last else layers


def train(layers, optimizer, steps, schedule=None, first=0):
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        x, y = torch.rand(8, 4, 8, 8, generator=generator), torch.rand(8, 3, generator=generator)
        optimizer.zero_grad()
        (layers(x) - y).square().mean().backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return [p.detach().clone() for p in layers.parameters()]


def test_a_weight_moves_along_the_orthogonal_factor_of_its_momentum():
    """Torch's iteration brings singular values near 1 (0.5 to 1.5); lr 0.2 sqrt(longer side) scales them."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(24, 4, 3, 3))
    before = weight.detach().clone()
    optimizer = MuonAdamW([weight], lr=0.01, weight_decay=0.1)
    weight.grad = torch.randn(24, 4, 3, 3) * torch.logspace(0, -2, 24)[:, None, None, None]
    optimizer.step()
    moved = (before * (1 - 0.01 * 0.1) - weight.detach()).flatten(1) / (0.01 * 0.2 * math.sqrt(36))
    u, _, v = torch.linalg.svd(weight.grad.flatten(1), full_matrices=False)
    found = torch.linalg.svdvals(moved)
    assert 0.5 < found.min() <= found.max() < 1.5
    along = (u.T @ moved @ v.T).diagonal()  # each singular direction of the gradient, whatever its size was
    torch.testing.assert_close(along.sort().values, found.sort().values, atol=0.05, rtol=0)


def test_everything_else_is_adamw():
    ours, theirs = nn.Linear(8, 40), nn.Linear(8, 40)
    theirs.load_state_dict(ours.state_dict())
    pair = MuonAdamW(ours.parameters(), 3e-3), torch.optim.AdamW(theirs.parameters(), 3e-3)
    for step in range(4):
        x = torch.rand(5, 8, generator=torch.Generator().manual_seed(step))
        for layer, optimizer in zip((ours, theirs), pair, strict=True):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_the_layout_in_memory_changes_nothing():
    plain, last = network(), network(channels_last=True)
    found = [train(layers, MuonAdamW(layers.parameters(), 1e-2), 3) for layers in (plain, last)]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)  # bfloat16 inside; steps are of 3e-2
    assert last[2].weight.is_contiguous(memory_format=torch.channels_last)
    assert (found[0][2] - network()[2].weight).abs().max() > 0.02


def test_it_goes_on_from_its_state_as_if_never_stopped():
    whole, half, rest = network(), network(), network()
    optimizer = MuonAdamW(whole.parameters(), 1e-2)
    expected = train(whole, optimizer, 6, warmup_cosine(optimizer, 6))
    optimizer = MuonAdamW(half.parameters(), 1e-2)
    schedule = warmup_cosine(optimizer, 6)
    train(half, optimizer, 3, schedule)
    saved = optimizer.state_dict(), schedule.state_dict()
    rest.load_state_dict(half.state_dict())
    optimizer = MuonAdamW(rest.parameters(), 1e-2)
    schedule = warmup_cosine(optimizer, 6)
    optimizer.load_state_dict(saved[0])
    schedule.load_state_dict(saved[1])
    for a, b in zip(expected, train(rest, optimizer, 3, schedule, first=3), strict=True):
        assert torch.equal(a, b)


def test_weights_that_moved_to_other_storage_are_still_trained():
    layers = network()
    optimizer = MuonAdamW(layers.parameters(), 1e-2)
    for p in layers.parameters():
        p.data = p.data.clone()
    before = [p.detach().clone() for p in layers.parameters()]
    for a, b in zip(before, train(layers, optimizer, 1), strict=True):
        assert not torch.equal(a, b)


def test_schedules_rule_both_parts():
    layers = network()
    optimizer = MuonAdamW(layers.parameters(), 1e-2)
    schedule = one_cycle(optimizer, 10)
    train(layers, optimizer, 4, schedule)
    group = optimizer.param_groups[0]
    train(layers, optimizer, 1)
    muon, adamw = (optimizer.parts[name].param_groups[0] for name in ("muon", "adamw"))
    assert muon["lr"] == adamw["lr"] == group["lr"]
    assert muon["momentum"] == group["momentum"] != 0.95
    group["lr"] = 0.0
    before = [p.detach().clone() for p in layers.parameters()]
    for a, b in zip(before, train(layers, optimizer, 1), strict=True):
        assert torch.equal(a, b)


def test_groups_keep_their_own_rates_and_frozen_weights_stay():
    layers = network()
    layers[0].weight.requires_grad_(False)
    groups = [{"params": layers[:3].parameters(), "lr": 0.0}, {"params": layers[3:].parameters(), "lr": 1e-2}]
    before = [p.detach().clone() for p in layers.parameters()]
    after = train(layers, MuonAdamW(groups, 1e-3, weight_decay=0.0), 2)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize(("shape", "matrix"), [
    ((24, 20, 3, 3), True), ((16, 16), True), ((24,), False), ((), False), ((3, 720), False), ((720, 3), False),
    ((15, 100), False), ((2048, 1024), False), ((64, 32, 4, 4, 4), True), ((0, 20), False),
])  # fmt: skip
def test_which_weights_are_matrices(shape, matrix):
    assert is_matrix(torch.empty(shape), 2**20) is matrix


def test_a_weight_that_cannot_be_seen_as_a_matrix_is_left_to_adamw():
    odd = torch.empty(40, 20, 30)[:, :, :17]
    assert not is_matrix(odd, 2**20)
