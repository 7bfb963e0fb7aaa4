"""Nearly optimal assignment between two batches of point sets on a CUDA device, with a proof of how near.

Bertsekas's auction (1988) with epsilon scaling, coarse to fine: on every 64th, 16th, 4th and at last every point along
a space-filling curve, prices passing down by the c-transform. Each sample is one program on the device, from the first
bid to the last (`auction_triton`); `match_reference` is the same algorithm in plain torch. Sizes, extents and
duplicates are free; nothing of the result rests on float32, in which the auction works: cost and dual value are
computed anew in float64 from the bijection and the prices.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lit3d.ops.kernels.nearest_cuda import AVAILABLE, parts

__all__ = ["AVAILABLE", "Auction", "match", "match_reference"]

STEP = 4  # each level holds every 4th point of the next
SMALLEST = 32  # points on the coarsest level at least
SHRINK = 5.0  # from one epsilon to the next
COARSE = 0.1  # relative gap of the levels that only pass their prices on
FINEST = 2.0**-20  # least epsilon, in extents: what float32 prices still resolve
SLOTS, COLUMNS = 32, 512  # rows that bid at a time; objects they look at, at a time
LEAVE = 4  # rows left free by the rounds: for so few, paths need fewer steps than a price war
CHECK = 16  # rounds between two looks at whether the plain-torch auction is over
ROUNDING = 2.0**-53


class Auction(NamedTuple):
    """A bijection for each sample, point i of the first set to point index[b, i] of the second, and its proof."""

    index: Tensor  # type: ignore[assignment] # (b n) int64; hides tuple.index
    cost: Tensor  # (b,) float64: sum of the matched Euclidean distances
    dual: Tensor  # (b,) float64: no bijection costs less
    prices: (
        Tensor  # (b n) float64, of the second set: dual = sum_i min_j (|x_i - y_j| + p_j) - sum_j p_j, less rounding
    )


class Level(NamedTuple):
    """What one level of the auction is told."""

    ratio: float  # relative gap to reach
    leave: int  # rows that may stay free when a phase ends
    rounds: int  # at most, for each epsilon
    steps: int  # at most, of all shortest paths together
    finish: bool  # match every row


class Engine(NamedTuple):
    """Who does the two things that cost time: triton or plain torch."""

    least: Callable[[Tensor, Tensor, Tensor], Tensor]
    settle: Callable[[Tensor, Tensor, Tensor, Tensor, Level], tuple[Tensor, Tensor]]


def match(x: Tensor, y: Tensor, gap: float = 1e-3, rounds: int | None = None) -> Auction:
    """A bijection between x and y (b n d), d 2 or 3, on one CUDA device, whose cost is within `gap` of the least.

    The host never waits: everything is queued, work is bounded, and a sample that is done stops by itself. The
    certified gap is (cost - dual) / cost, usually a third of what was asked. It is larger than asked where the rounds
    were used up (leftover rows then get shortest paths, or at worst the best free object), and where that gap is below
    what float32 prices resolve, about n * 1e-6 extents: for sets that are nearly the same, or for gap < 1e-5.

    Args:
        x: first sets; finite.
        y: second sets, as many points.
        gap: relative gap to reach.
        rounds: bidding rounds for each epsilon and level, and steps of shortest paths; default 32 n + 1024,
            several times what ordinary sets need.
    """
    return _match(x, y, gap, rounds, Engine(least_triton, settle_triton))


def match_reference(x: Tensor, y: Tensor, gap: float = 1e-3, rounds: int | None = None) -> Auction:
    """`match` in plain torch, on any device; here the host waits: every 16 rounds it looks whether all is over.

    Memory: about 1.2 KB a point, and no more samples at a time than stay below 1 GB.
    """
    at_a_time = max(1, 2**19 // max(x.shape[1], 1))
    engine = Engine(least_reference, settle_reference)
    found = [_match(a, b, gap, rounds, engine) for a, b in zip(x.split(at_a_time), y.split(at_a_time), strict=True)]
    return Auction(*(torch.cat(results) for results in zip(*found, strict=True)))


def _match(x: Tensor, y: Tensor, gap: float, rounds: int | None, engine: Engine) -> Auction:
    with torch.no_grad():
        if x.numel() == 0:
            real = x.new_empty(x.shape[:2], dtype=torch.float64)
            return Auction(real.long(), real.sum(1), real.sum(1), real)
        a, b, scale = _unit(x, y)
        rows, row_order = _along_curve(a)
        objects, object_order = _along_curve(b)
        n = a.shape[2]
        bound = 32 * n + 1024 if rounds is None else rounds
        price, choice = _coarse_to_fine(rows, objects, gap, bound, engine)
        index = torch.empty_like(choice).scatter_(1, row_order, object_order.gather(1, choice))
        prices = torch.empty_like(price).scatter_(1, object_order, price).double()
        distance = _distance(a, b.gather(2, index[:, None].expand_as(b)))
        return Auction(index, distance.sum(1) / scale, _dual(a, b, prices, engine) / scale, prices / scale[:, None])


def _unit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both sets (b 3 n) in float64, moved and scaled by a power of two into the unit cube; and the scale (b,)."""
    a, b = ((0.25 * p.detach().double()).transpose(1, 2) for p in (x, y))  # a quarter: their extent cannot overflow
    low = torch.minimum(a.amin(2), b.amin(2))[..., None]
    extent = torch.maximum((a - low).amax((1, 2)), (b - low).amax((1, 2)))
    scale = torch.ldexp(torch.ones_like(extent), -torch.frexp(extent)[1].clamp(min=-1000))
    a, b = ((p - low) * scale[:, None, None] for p in (a, b))
    if x.shape[2] == 2:
        a, b = (torch.nn.functional.pad(p, (0, 0, 0, 1)) for p in (a, b))
    return a.contiguous(), b.contiguous(), 0.25 * scale


def _along_curve(points: Tensor) -> tuple[Tensor, Tensor]:
    """Points (b 3 n) of the unit cube along Morton's curve, float32, and their order (b n): strides of it cover all."""
    code = torch.zeros_like(points[:, 0], dtype=torch.int64)
    for axis in range(3):
        bits = (points[:, axis] * 1024).long().clamp(0, 1023)
        for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
            bits = (bits | bits << shift) & mask  # two zeros between any two bits
        code |= bits << axis
    order = code.argsort(dim=1, stable=True)
    return points.float().gather(2, order[:, None].expand_as(points)), order


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """|a - b| for coordinates along dimension 1; summed in the order of the kernels."""
    d = a - b
    return (d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1] + d[:, 2] * d[:, 2]).sqrt()


def strides(n: int) -> Iterator[int]:
    """Of the levels of n points, coarse to fine; the last is 1."""
    stride = 1
    while n // (stride * STEP) >= SMALLEST:
        stride *= STEP
    while stride:
        yield stride
        stride //= STEP


def _coarse_to_fine(rows: Tensor, objects: Tensor, gap: float, bound: int, engine: Engine) -> tuple[Tensor, Tensor]:
    """Prices (b n) float32 of the objects and the choice (b n) int64 of the rows, both (b 3 n) along the curve."""
    coarse: tuple[Tensor, Tensor] | None = None  # rows of the level above and their least values
    for stride in strides(rows.shape[2]):
        m = rows.shape[2] // stride
        here, there = (p[:, :, stride // 2 :: stride][:, :, :m].contiguous() for p in (rows, objects))
        if coarse is None:
            price = torch.zeros_like(there[:, 0])
            start = 0.25 * _distance(here[..., None], there[:, :, None]).mean((1, 2))
        else:  # the lowest prices at which no coarse row finds anything below its least value u_i: max_i u_i - |..|
            price = -engine.least(there, coarse[0], -coarse[1])
            price -= price.amin(1, keepdim=True)
        ratio = 0.95 * gap if stride == 1 else max(gap, COARSE)
        level = Level(ratio, min(LEAVE, m // 16), bound, bound, stride == 1)
        start, choice = engine.settle(here, there, price, start, level)
        if stride > 1:
            coarse = here, engine.least(here, there, price)
    return price, choice.long()


def _dual(a: Tensor, b: Tensor, prices: Tensor, engine: Engine) -> Tensor:
    """sum_i min_j (|a_i - b_j| + p_j) - sum_j p_j in float64, lowered by the most that rounding can have raised it."""
    n, least = a.shape[2], engine.least(a, b, prices)
    sizes = least.abs().sum(1) + prices.abs().sum(1)
    return (least.sum(1) - prices.sum(1) - ROUNDING * ((n + 64) * sizes + 16 * n)).clamp(min=0)  # no cost is negative


def least_triton(rows: Tensor, objects: Tensor, price: Tensor) -> Tensor:
    """`least_reference` on a CUDA device."""
    from lit3d.ops.kernels.auction_triton import least_values

    b, _, n = rows.shape
    least = torch.empty(b, n, dtype=rows.dtype, device=rows.device)
    with torch.cuda.device_of(rows):
        least_values[(parts(n, 128), b)](
            rows, objects, price, least, n, objects.shape[2], ROWS=128, COLUMNS=16, num_warps=4
        )
    return least


def settle_triton(
    rows: Tensor, objects: Tensor, price: Tensor, start: Tensor, level: Level
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`settle_reference` on a CUDA device: one launch."""
    from lit3d.ops.kernels.auction_triton import settle

    b, _, m = rows.shape
    whole = torch.full((4, b, m), -1, dtype=torch.int32, device=rows.device)
    real = torch.empty(2, b, m, device=rows.device)
    epsilon = torch.empty_like(start)
    with torch.cuda.device_of(rows):
        settle[(b,)](
            rows, objects, price, start, epsilon, whole[0], whole[1], whole[2], real[0], real[1], whole[3],
            level.ratio, FINEST, SHRINK, level.leave, level.rounds, level.steps, m,
            FINISH=level.finish, SLOTS=SLOTS, COLUMNS=COLUMNS, num_warps=16,
        )  # fmt: skip
    return epsilon, whole[1]


def least_reference(rows: Tensor, objects: Tensor, price: Tensor) -> Tensor:
    """(b n): min_j |row_i - object_j| + price_j for rows (b 3 n), objects (b 3 m), price (b m), in chunks."""
    chunk = max(1, 2**22 // price.numel())
    parts = [
        (_distance(rows[:, :, i : i + chunk, None], objects[:, :, None]) + price[:, None]).amin(2)
        for i in range(0, rows.shape[2], chunk)
    ]
    return torch.cat(parts, dim=1)


@dataclass
class Market:
    """The state of one level. The last column of what can be written at is a place for what must not be."""

    rows: Tensor  # (b 3 m)
    objects: Tensor  # (b 3 m)
    price: Tensor  # (b m+1)
    owner: Tensor  # (b m+1): object -> row, or -1
    choice: Tensor  # (b m+1): row -> object, or -1

    @property
    def m(self) -> int:
        return self.rows.shape[2]

    def put(self, target: Tensor, at: Tensor, value: Tensor, where: Tensor) -> None:
        target.scatter_(1, torch.where(where, at, self.m), value.to(target.dtype))

    def values(self, row: Tensor) -> Tensor:
        """Distance + price (b k m) of rows (b k)."""
        at = self.rows.gather(2, row[:, None].expand(-1, 3, -1))
        return _distance(at[..., None], self.objects[:, :, None]) + self.price[:, None, :-1]

    def free_rows(self) -> tuple[Tensor, Tensor]:
        """The rows without an object (b m), in order, before the others; and how many (b,)."""
        free = self.choice[:, :-1] < 0
        return (~free).to(torch.int8).argsort(dim=1, stable=True), free.sum(1)


def settle_reference(
    rows: Tensor, objects: Tensor, price: Tensor, start: Tensor, level: Level
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One level: from the prices (b m), which it changes, to a matching within epsilon a row of the best.

    Phases with epsilon from `start` (b,) down to ratio * dual / m, where the relative gap is reached; a phase keeps
    the rows whose object is within its epsilon of their best one. `level.finish`: the rows that are left get shortest
    augmenting paths, then, should the steps end, the best free objects.

    Returns:
        The last epsilon (b,), and the object of each row (b m), -1 for none.
    """
    none = torch.full_like(price, -1, dtype=torch.int64)
    none = torch.nn.functional.pad(none, (0, 1), value=-1)
    market = Market(rows, objects, torch.nn.functional.pad(price, (0, 1)), none, none.clone())

    def final(dual: Tensor) -> Tensor:
        return (level.ratio * (dual / market.m).float()).clamp(min=FINEST)

    least = final(_release(market, torch.zeros_like(start)))
    epsilon = torch.maximum(start, least)
    bid_rounds(market, epsilon, level.leave, level.rounds)
    while bool((going := epsilon > least).any()):
        smaller = torch.where(going, epsilon / SHRINK, epsilon)
        dual = _release(market, torch.where(going, torch.maximum(smaller, least), torch.inf))
        least = torch.where(going, final(dual), least)
        epsilon = torch.where(going, torch.maximum(smaller, least), epsilon)
        bid_rounds(market, epsilon, level.leave, level.rounds, going)
    if level.finish:
        _shortest_paths(market, level.steps)
        bid_rounds(market, None, 0, market.m)
    price.copy_(market.price[:, :-1])
    return epsilon, market.choice[:, :-1]


def _release(market: Market, keep_within: Tensor) -> Tensor:
    """Frees the rows whose object is not within epsilon (b,) of their best; returns the dual value (b,) float64."""
    dual = -market.price[:, :-1].double().sum(1)
    for i in range(0, market.m, SLOTS):
        row = torch.arange(i, min(i + SLOTS, market.m), device=dual.device).expand(len(dual), -1)
        value, own = market.values(row), market.choice.gather(1, row)
        best = value.amin(2)
        dual += best.double().sum(1)
        held = value.gather(2, own.clamp(min=0)[..., None])[..., 0]
        loose = (own >= 0) & (held > best + keep_within[:, None])
        for target, at in ((market.owner, own), (market.choice, row)):
            market.put(target, at, torch.full_like(at, -1), loose)
    return dual


def bid_rounds(
    market: Market, epsilon: Tensor | None, leave: int, rounds: int, going: Tensor | None = None
) -> None:  # fmt: skip
    """Rounds of bids by up to 32 free rows at a time, until `leave` rows are free or the rounds are used up.

    A slot holds a row until it wins; then it goes on with the row that lost its object, or takes the next of the
    queue. The highest bid wins an object, at ties the lower slot. Without an epsilon (b,): no prices, every row takes
    the best object that nobody has, which ends after at most m rounds. `going` (b,): the samples that take part.
    """
    queue, waiting = market.free_rows()
    if going is not None:
        waiting = torch.where(going, waiting, 0)
    head, free = torch.zeros_like(waiting), waiting
    slot = torch.full_like(queue[:, :1], -1).repeat(1, SLOTS)
    earlier = torch.ones(SLOTS, SLOTS, dtype=torch.bool, device=slot.device).triu(1)
    for turn in range(rounds):
        if turn % CHECK == 0 and not bool((free > leave).any()):
            break
        on = (free > leave)[:, None]
        empty = (slot < 0) & on
        place = head[:, None] + empty.cumsum(1) - 1
        slot = torch.where(empty & (place < waiting[:, None]), queue.gather(1, place.clamp(0, market.m - 1)), slot)
        head = torch.minimum(head + empty.sum(1), waiting)
        which, bid = _bids(market, slot.clamp(min=0), epsilon)
        active = (slot >= 0) & on
        better = (bid[..., None] > bid[:, None]) | ((bid[..., None] == bid[:, None]) & earlier)
        won = active & ~(active[..., None] & (which[..., None] == which[:, None]) & better).any(1)
        evicted = market.owner.gather(1, which)
        market.put(market.owner, which, slot, won)
        market.put(market.choice, slot, which, won)
        market.put(market.choice, evicted, torch.full_like(evicted, -1), won & (evicted >= 0))
        if epsilon is not None:
            market.put(market.price, which, bid, won)
        slot = torch.where(won, evicted, slot)
        free = (slot >= 0).sum(1) + waiting - head


def _bids(market: Market, row: Tensor, epsilon: Tensor | None) -> tuple[Tensor, Tensor]:
    """The object (b k) that each row (b k) wants most, and what it bids: the difference to the next best, + epsilon."""
    value = market.values(row)
    if epsilon is None:
        value = value.masked_fill((market.owner[:, None, :-1] >= 0), torch.inf)
    best, which = value.min(2)
    if epsilon is None:
        return which, -best
    second = value.scatter(2, which[..., None], torch.inf).amin(2)
    second = torch.where(second.isinf(), best, second)  # a single object has no second
    return which, market.price.gather(1, which) + (second - best) + epsilon[:, None]


def _shortest_paths(market: Market, steps: int) -> None:
    """Matches free rows one after the other along shortest augmenting paths (Dijkstra), while the steps last.

    Slack up to epsilon is taken for 0, so that a matching within epsilon of the best stays within it.
    """
    queue, waiting = market.free_rows()
    left = torch.full_like(waiting, steps)
    for k in range(market.m):
        going = (k < waiting) & (left > 0)
        if not bool(going.any()):
            break
        _shortest_path(market, queue[:, k : k + 1], going[:, None], left)


def _shortest_path(market: Market, first: Tensor, going: Tensor, left: Tensor) -> None:
    """Matches one free row (b 1) of the samples that are going (b 1); takes the steps from what is left (b,)."""
    key = market.values(first)[:, 0]
    best, at = key.min(1, keepdim=True)
    passed, before = torch.full_like(market.price, torch.inf), torch.full_like(market.owner, -1)
    key = torch.nn.functional.pad(key, (0, 1), value=torch.inf)
    for step in range(int(left.amax())):
        on = going & (market.owner.gather(1, at) >= 0) & (left[:, None] > 0)
        if step % CHECK == 0 and not bool(on.any()):
            break
        market.put(passed, at, best, on)
        market.put(key, at, torch.full_like(best, torch.inf), on)
        value = market.values(market.owner.gather(1, at).clamp(min=0))[:, 0]
        there = best + (value - value.gather(1, at)).clamp(min=0)
        shorter = on & ~key[:, :-1].isinf() & (there < key[:, :-1])
        key[:, :-1] = torch.where(shorter, there, key[:, :-1])
        before[:, :-1] = torch.where(shorter, at, before[:, :-1])
        nearer, next_at = key[:, :-1].min(1, keepdim=True)
        best, at = torch.where(on, nearer, best), torch.where(on, next_at, at)
        left -= on[:, 0].long()
    found = going & (market.owner.gather(1, at) < 0)
    market.price += torch.where(found, best - passed, 0.0).clamp(min=0)
    for step in range(market.m):
        previous = before.gather(1, at)
        on = found & (previous >= 0)
        if step % CHECK == 0 and not bool(on.any()):
            break
        moving = market.owner.gather(1, previous.clamp(min=0))
        market.put(market.owner, at, moving, on)
        market.put(market.choice, moving, at, on)
        at = torch.where(on, previous, at)
    market.put(market.owner, at, first, found)
    market.put(market.choice, first, at, found)
