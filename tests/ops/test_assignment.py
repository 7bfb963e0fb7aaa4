"""The kernels of the exact assignment: the result is proved by its own prices, on ordinary and hostile sets."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d.ops.kernels import assignment as a
from lit3d.ops.kernels import assignment_kinds as kinds_of
from lit3d.ops.kernels import assignment_lists as lists
from lit3d.ops.kernels.assignment_kinds import Way
from lit3d.ops.kernels.assignment_search import dual_value


def sphere(r, n):
    points = r.normal(size=(n, 3))
    return 0.5 * points / np.linalg.norm(points, axis=1, keepdims=True)


def stretched(r, n, thickness):
    return r.uniform(0, 1, (n, 1)) * [0.6, 0.5, 0.62] + r.normal(0, 1, (n, 3)) * thickness


def few(r, n, k):
    return sphere(r, k)[r.integers(0, k, n)]


def lattice(n):
    side = int(np.ceil(n ** (1 / 3)))
    return np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n] / side


def moved(r, n, noise):
    y = sphere(r, n)
    return y[r.permutation(n)] + r.normal(0, 1, (n, 3)) * noise, y


def clusters(r, n):
    x, y = 0.2 * sphere(r, n), 0.2 * sphere(r, n)
    x[: n // 4] += 1
    y[: 3 * n // 4] += 1
    return x, y


def outliers(r, n):
    x = sphere(r, n)
    x[: max(1, n // 50)] *= 20
    return x, sphere(r, n)


KINDS = {
    "uniform": lambda r, n: (r.uniform(size=(n, 3)), r.uniform(size=(n, 3))),
    "surface": lambda r, n: (sphere(r, n), sphere(r, n)),
    "trained": lambda r, n: (sphere(r, n) + r.normal(0, 0.02, (n, 3)), sphere(r, n)),
    "untrained": lambda r, n: (r.normal(0, 0.02, (n, 3)), sphere(r, n)),
    "one point": lambda r, n: (np.zeros((n, 3)), sphere(r, n)),
    "onto one point": lambda r, n: (sphere(r, n), np.full((n, 3), 0.3)),
    "all one point": lambda r, n: (np.full((n, 3), 0.3), np.full((n, 3), 0.3)),
    "two points": lambda r, n: (few(r, n, 2), few(r, n, 2)),
    "duplicates": lambda r, n: (few(r, n, n // 8 + 1), few(r, n, n // 8 + 1)),
    "few": lambda r, n: (few(r, n, 16), sphere(r, n)),
    "onto few": lambda r, n: (sphere(r, n), few(r, n, 16)),
    "far and small": lambda r, n: (0.01 * sphere(r, n) + 50, 0.01 * sphere(r, n)),
    "clusters": clusters,
    "lattice": lambda r, n: (lattice(n), lattice(n)[r.permutation(n)] + [0.5 / np.ceil(n ** (1 / 3)), 0, 0]),
    "same set": lambda r, n: moved(r, n, 0.0),
    "slightly moved": lambda r, n: moved(r, n, 0.002),
    "line": lambda r, n: (r.uniform(size=(n, 1)) * [1, 0, 0], r.uniform(size=(n, 1)) * [1, 0, 0]),
    "skew line": lambda r, n: (stretched(r, n, 0), stretched(r, n, 0)),
    "nearly a line": lambda r, n: (stretched(r, n, 1e-6), stretched(r, n, 1e-6)),
    "thin": lambda r, n: (stretched(r, n, 1e-3), stretched(r, n, 1e-3)),
    "plane": lambda r, n: (r.uniform(size=(n, 3)) * [1, 1, 0], r.uniform(size=(n, 3)) * [1, 1, 0]),
    "nearly a plane": lambda r, n: (r.uniform(size=(n, 3)) * [1, 1, 1e-4], r.uniform(size=(n, 3)) * [1, 1, 1e-4]),
    "outliers": outliers,
    "minute": lambda r, n: (1e-200 * sphere(r, n), 1e-200 * sphere(r, n)),
    "huge": lambda r, n: (1e100 * sphere(r, n), 1e100 * sphere(r, n)),
}


def sets(kind, n, seed):
    x, y = KINDS[kind](np.random.default_rng([n, seed, len(kind)]), n)
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def proved(x, y):
    return a.assign(x, y, lists_only=True)


def prove(x, y, found, against_scipy=True):
    """A bijection; over all n^2 pairs in float64 its cost equals the dual value of its prices; scipy finds the same."""
    n = len(x)
    assert (np.sort(found.index) == np.arange(n)).all()
    matrix = cdist(x, y)
    if matrix.max() < 1e-150:  # below, squares underflow for scipy and for a plain sum alike
        x, y, found = x * 2.0**600, y * 2.0**600, a.Assigned(found.index, found.potential * 2.0**600, found.way)
        matrix = cdist(x, y)
    cost = matrix[np.arange(n), found.index].sum()
    f, g = found.potential
    dual = (matrix + g).min(1).sum() - g.sum()
    assert abs(cost - dual) <= 1e-9 * cost + 1e-13 * matrix.max()
    assert (f[:, None] - g <= matrix + 1e-12 * matrix.max()).all()
    assert dual_value(x, y, g) == pytest.approx(dual, rel=1e-11, abs=1e-12 * matrix.max())
    if against_scipy:
        rows, columns = linear_sum_assignment(matrix)
        assert cost == pytest.approx(matrix[rows, columns].sum(), rel=1e-9, abs=1e-13 * matrix.max())


@pytest.mark.parametrize("kind", KINDS)
def test_exact_on_every_kind_at_many_sizes(kind):
    for seed, n in enumerate([1, 2, 3, 5, 6, 7, 15, 16, 17, 31, 33, 47, 64, 65, 90, 128, 150, 200]):
        x, y = sets(kind, n, seed)
        prove(x, y, proved(x, y))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(KINDS)), st.integers(1, 300), st.integers(0, 10**6))
def test_exact_on_random_instances(kind, n, seed):
    x, y = sets(kind, n, seed)
    prove(x, y, proved(x, y))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_exact_on_small_whole_numbers_with_all_their_ties(data):
    n, top = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6))
    numbers = st.lists(st.integers(0, top), min_size=3 * n, max_size=3 * n)
    x, y = (np.array(data.draw(numbers), float).reshape(n, 3) for _ in range(2))
    prove(x, y, proved(x, y))


@pytest.mark.parametrize("kind", ["trained", "untrained", "clusters", "duplicates", "thin"])
def test_exact_with_coarse_levels(kind):
    x, y = sets(kind, 700, 1)
    prove(x, y, proved(x, y))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1024, 2048])
def test_exact_on_large_sets(kind, n):
    x, y = sets(kind, n, 0)
    scipy_is_slow = n > 1024 or kind in ("one point", "onto one point")  # seconds, for it cannot break the ties
    prove(x, y, proved(x, y), against_scipy=not scipy_is_slow)


def test_dual_value_of_wrong_prices_is_a_lower_bound():
    x, y = sets("uniform", 60, 0)
    best = cdist(x, y)[linear_sum_assignment(cdist(x, y))].sum()
    for seed in range(20):
        assert dual_value(x, y, np.random.default_rng(seed).normal(size=60)) < best


def test_every_object_outside_a_list_has_at_least_the_bound_after_prices_rose():
    """The invariant that the exactness rests on, held against all n^2 pairs."""
    n = 200
    x, y = sets("uniform", n, 3)
    space, r = a.make_space(n), np.random.default_rng(0)
    for side, points in enumerate((x, y)):
        lists.kd_order(points, space.order[side, :n], space.stack)
    a.place(x, y, 1.0, 1, space)
    space.objects.price[:n] = r.uniform(0, 0.1, n)
    lists.enclose(n, space.objects)
    lists.first_lists(n, space.rows, space.objects, space.lists, space.scratch)
    for _ in range(300):
        j = int(r.integers(n))
        lists.raise_price(j, space.objects.price[j] + r.uniform(0, 0.05), space.objects.price, space.objects.least)
    value = cdist(space.rows[:n], space.objects.at[:, :n].T) + space.objects.price[:n]
    for i in range(n):
        count = space.lists.length[i]
        inside = space.lists.object[i, :count]
        stored = space.lists.value[i, :count]
        assert count >= lists.FEWEST
        assert len(set(inside)) == count
        assert (np.diff(stored) >= 0).all()
        assert (value[i, inside] >= stored - 1e-12).all()
        assert np.delete(value[i], inside).min() >= space.lists.bound[i] - 1e-12
    boxes = np.pad(space.objects.price[:n], (0, -n % lists.BOX), constant_values=lists.FAR).reshape(-1, lists.BOX)
    assert (space.objects.least[: len(boxes)] == boxes.min(1)).all()


def test_kd_order_is_a_permutation_in_tight_boxes():
    points = np.random.default_rng(0).uniform(size=(1000, 3))
    order = np.empty(1000, np.int32)
    lists.kd_order(points, order, np.zeros(128, np.int64))
    assert (np.sort(order) == np.arange(1000)).all()
    extents = [np.ptp(points[order[s : s + lists.BOX]], axis=0).max() for s in range(0, 1000, lists.BOX)]
    assert np.mean(extents) < 0.45  # 63 boxes in a cube: side 1/4 if they were cubes


def test_distinct_numbers_equal_points_alike():
    points = few(np.random.default_rng(0), 200, 20)
    space = a.make_space(200)
    found = kinds_of.distinct(points, points.view(np.int64), space.kinds[0], space.table, space.queue)
    assert found == len(np.unique(points, axis=0))
    same = (points[:, None] == points).all(-1)
    assert (same == (space.kinds[0, :200, None] == space.kinds[0, :200])).all()


def test_a_spent_budget_goes_to_the_dense_solver_and_leaves_the_memory_fit_for_the_next():
    x, y = sets("clusters", 300, 0)
    for budget in (0.0, 1.5, 3.0, 6.0, 9.0, 1000.0):
        found = a.assign(x, y, budget=budget)
        assert found.way is (Way.LEVELS if budget == 1000 else Way.LAPJVR) or budget > 2
        prove(x, y, proved(x, y))
        assert found.index.tolist() == a.dense(x, y).tolist()


def test_the_memory_serves_sets_of_any_order_of_sizes():
    for n in (300, 20, 150, 1, 299):
        x, y = sets("trained", n, 0)
        fresh = a._own.__dict__.pop("capacity", None)
        first = proved(x, y)
        a.space_for(400)
        again = proved(x, y)
        assert fresh is None or fresh > 0
        assert (first.index == again.index).all()
        assert (first.potential == again.potential).all()


def test_memory_stays_under_three_kilobytes_a_point():
    def size(item):
        return item.nbytes if isinstance(item, np.ndarray) else sum(map(size, item))

    assert size(a.make_space(4096)) < 3000 * 4096


def test_two_threads_find_what_one_finds():
    work = [sets(kind, n, 7) for n in (100, 260) for kind in KINDS]
    alone = [proved(x, y) for x, y in work]
    together = [[None] * len(work) for _ in range(2)]

    def run(slot):
        for k in range(len(work))[:: 1 if slot else -1]:
            together[slot][k] = proved(*work[k])

    threads = [threading.Thread(target=run, args=(slot,)) for slot in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for slot in range(2):
        for one, other in zip(alone, together[slot], strict=True):
            assert (one.index == other.index).all()
            assert (one.potential == other.potential).all()


def test_moved_copies_and_lattices_are_told_from_independent_sets():
    def test(kind, n):
        found = [kinds_of.mutual(x, y, kinds_of.unit_scale(x, y), 64) for x, y in (sets(kind, n, s) for s in range(10))]
        return np.mean(found, axis=0)

    for n in (300, 600):
        assert min(test("slightly moved", n)[0], test("lattice", n)[0]) > 0.75
        assert max(test("uniform", n)[0], test("trained", n)[0], test("untrained", n)[0]) < 0.55
        assert test("uniform", n)[1] == test("slightly moved", n)[1] == 1.0
        assert 1.5 < test("lattice", n)[1] <= kinds_of.TIES < test("few", n)[1]


WAYS = {
    ("trained", 50): Way.LAPJVR,
    ("trained", 200): Way.LAPJVR,
    ("untrained", 200): Way.SCIPY,
    ("outliers", 200): Way.LAPJVR,
    ("trained", 300): Way.LEVELS,
    ("untrained", 300): Way.LEVELS,
    ("clusters", 300): Way.LEVELS,
    ("far and small", 400): Way.APART,
    ("slightly moved", 300): Way.LAPJVR,
    ("slightly moved", 400): Way.NEAR,
    ("lattice", 400): Way.LAPJVR,
    ("lattice", 800): Way.NEAR,
    ("nearly a line", 400): Way.LAPJVR,
    ("duplicates", 400): Way.LAPJVR,
    ("duplicates", 800): Way.LEVELS,
    ("few", 600): Way.LAPJVR,
    ("one point", 400): Way.TRIVIAL,
    ("onto one point", 400): Way.TRIVIAL,
    ("all one point", 400): Way.TRIVIAL,
    ("line", 400): Way.SORT,
}


@pytest.mark.parametrize(("kind", "n"), WAYS)
def test_which_way_is_expected_to_be_the_fastest(kind, n):
    x, y = sets(kind, n, 0)
    found = a.assign(x, y)
    assert found.way is WAYS[kind, n]
    matrix = cdist(x, y)
    assert matrix[np.arange(n), found.index].sum() == pytest.approx(matrix[np.arange(n), a.dense(x, y)].sum(), rel=1e-9)
    assert (found.potential is None) == found.way.dense


def test_no_matrix_is_made_for_more_points_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(a, "DENSE_ROOM", 300)
    monkeypatch.setattr(a, "dense", None)
    for kind in ("thin", "lattice", "duplicates", "clusters"):
        x, y = sets(kind, 310, 0)
        prove(x, y, a.assign(x, y, budget=0.0))


@pytest.mark.parametrize("kind", ["trained", "untrained", "clusters", "slightly moved"])
def test_a_warm_start_is_exact_and_taken_only_while_the_old_partners_are_good(kind):
    x, y = sets(kind, 400, 0)
    first = proved(x, y)
    ways = []
    for noise in (0.0, 1e-5, 0.3):
        moved_x = x + np.random.default_rng(1).normal(0, 1, x.shape) * noise
        again = a.assign(moved_x, y, earlier=first)
        ways.append(again.way)
        prove(moved_x, y, again)
    assert ways[:2] == [Way.WARM, Way.WARM]
    assert ways[2] is not Way.WARM


def test_rank_counts_the_objects_that_beat_the_old_partner():
    x, y = sets("uniform", 60, 0)
    r = np.random.default_rng(0)
    index, price = r.permutation(60), r.uniform(size=60)
    value = cdist(x, y) + price
    own = value[np.arange(60), index]
    rank = kinds_of.rank_of_partners(x, y, index, price, 60)
    assert rank == pytest.approx((value < own[:, None]).sum(1).mean(), abs=0.05)
    assert kinds_of.rank_of_partners(x, y, *(lambda f: (f.index, f.potential[1]))(proved(x, y)), 60) < 1
