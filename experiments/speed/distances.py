"""Claim: exact Earth Mover's matchings on the CPU cost a fraction of what the usual solvers ask, on any kind of set.

    python -m experiments.speed.distances                         # ordinary and hostile sets, 256 to 2048 points
    python -m experiments.speed.distances --points 1024 --batch 32 --kinds trained

Prints milliseconds a sample of `lit3d.ops.match`, a loop over scipy's and one over lapx's solver (their distance
matrix included), taken in turns, each the least of a few runs, and the ratios. CPU time of one thread by default, which
other load disturbs little; with --threads 2 wall time of ours against wall time of the loops, on an idle machine.
Every cost is compared with scipy's.
"""

import argparse
import time
from collections.abc import Callable

import lap
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from lit3d import ops
from lit3d.ops.kernels.assignment import assign


def sphere(r: np.random.Generator, n: int) -> np.ndarray:
    points = r.normal(size=(n, 3))
    return 0.5 * points / np.linalg.norm(points, axis=1, keepdims=True)


def pair(kind: str, n: int, r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = sphere(r, n)
    if kind == "trained":  # an independent sample of the surface, with noise
        return sphere(r, n) + r.normal(0, 0.02, (n, 3)), y
    if kind == "uniform":
        return r.uniform(size=(n, 3)), r.uniform(size=(n, 3))
    if kind == "untrained":  # a blob at the centre
        return r.normal(0, 0.02, (n, 3)), y
    if kind == "moved":  # nearly the truth
        return y[r.permutation(n)] + r.normal(0, 0.005, (n, 3)), y
    if kind == "duplicates":
        return y[r.integers(0, n // 8, n)], sphere(r, n)[r.integers(0, n // 8, n)]
    if kind == "clusters":  # of unequal mass
        x, y = 0.2 * sphere(r, n), 0.2 * y
        x[: n // 4] += 1
        y[: 3 * n // 4] += 1
        return x, y
    if kind == "thin":  # nearly a line
        x, y = (r.uniform(size=(n, 1)) * [0.6, 0.5, 0.6] + r.normal(0, 1e-4, (n, 3)) for _ in range(2))
        return x, y
    raise SystemExit(f"no kind {kind!r}; there are {', '.join(KINDS)}")


KINDS = ["trained", "uniform", "untrained", "moved", "duplicates", "clusters", "thin"]


def least(run: Callable[[], object], clock: Callable[[], float], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def compare(kind: str, n: int, batch: int, clock: Callable[[], float]) -> str:
    pairs = [pair(kind, n, np.random.default_rng([n, b])) for b in range(batch)]
    x, y = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
    found = ops.match(x, y)
    matrices = [cdist(p, q) for p, q in pairs]
    for cost, matrix in zip(found.cost.tolist(), matrices, strict=True):
        np.testing.assert_allclose(cost, matrix[linear_sum_assignment(matrix)].sum(), rtol=1e-9)
    lists = sum(not assign(p, q).way.dense for p, q in pairs)
    ours = least(lambda: ops.match(x, y), clock, 3)
    scipy = least(lambda: [linear_sum_assignment(cdist(p, q)) for p, q in pairs], clock, 2)
    lapx = least(lambda: [lap.lapjvr(cdist(p, q)) for p, q in pairs], clock, 2)
    ms = 1e3 / batch
    return (
        f"{n:6d} x {batch:<3d} {kind:11s} {ours * ms:9.2f} {scipy * ms:9.2f} {lapx * ms:9.2f} "
        f"{scipy / ours:9.1f} {lapx / ours:9.1f} {lists:7d}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[256, 512, 1024, 2048])
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    ops.match(torch.rand(1, 400, 3), torch.rand(1, 400, 3))  # compile
    print("  points x sets kind         match ms  scipy ms   lapx ms  x scipy   x lapx  by lists")
    for n in options.points:
        for kind in options.kinds:
            print(compare(kind, n, options.batch, clock), flush=True)


if __name__ == "__main__":
    main()
