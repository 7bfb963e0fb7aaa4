"""Claim: exact set distances on the CPU cost a fraction of what the usual solvers ask, on any kind of set.

    python -m experiments.speed.distances                      # all, and the figure; minutes, an idle machine
    python -m experiments.speed.distances --only batch nearest # what the README quotes
    python -m experiments.speed.distances --only kinds --points 1024 4096 --kinds trained thin

Ours and each peer take turns in one process; each number is the least of a few runs and includes what a user has to
compute first (the distance matrix, the tree). Matching costs are compared with a peer's every time.

nearest  `ops.nearest` and the backward pass of `ops.chamfer` against torch.cdist + min and scipy's cKDTree; wall time.
ways     `ops.nearest`: tiles, the tree, and which the dispatcher takes; CPU time of one thread.
batch    `ops.match` against a loop over scipy's solver and lapx's threaded batch solver; wall time, all threads. Warm:
         the same sets after every point moved by 0.002, started from the earlier matching.
kinds    `ops.match` on ordinary and hostile sets, CPU time of one thread, and the way it chose for each sample.
other    `ops.sinkhorn` and `ops.sliced_wasserstein`, 32 x 1,024.
sinkhorn `ops.sinkhorn` at several tolerances against tolerance 1e-5, the greatest errors of four pairs of 1,024 points:
         value, and angle and length of the gradient's error; and the time of 32 pairs, forward and backward.
curve    one pair of sets of growing size, one thread: the figure of docs/distances.md.

Writes distances.json, one CSV a table and cost_curve.png to --out.
"""

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import lap
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from experiments.speed.point_sets import KINDS, pairs_of
from lit3d import ops
from lit3d.ops.kernels import nearest_cpu
from lit3d.ops.kernels.assignment import assign

Row = dict[str, object]


def in_turn(clock: Callable[[], float], runs: dict[str, Callable[[], object]], repeats: int = 3) -> dict[str, float]:
    """Least milliseconds of each; what takes more than five seconds runs once."""
    best = dict.fromkeys(runs, np.inf)
    for _ in range(repeats):
        for name, run in runs.items():
            if np.isfinite(best[name]) and best[name] > 5e3:
                continue
            start = clock()
            run()
            best[name] = min(best[name], 1e3 * (clock() - start))
    return best


def scipy_loop(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [linear_sum_assignment(cdist(p, q))[1] for p, q in zip(x, y, strict=True)]


def lapx_loop(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [lap.lapjvr(cdist(p, q))[2] for p, q in zip(x, y, strict=True)]


def lapx_batch(x: np.ndarray, y: np.ndarray) -> object:
    matrices = np.stack([cdist(p, q) for p, q in zip(x, y, strict=True)])
    return lap.lapjvr_batch(matrices, n_threads=torch.get_num_threads())


def check_costs(x: np.ndarray, y: np.ndarray, found: ops.Matching, indices: list[np.ndarray]) -> None:
    for p, q, cost, index in zip(x, y, found.cost.tolist(), indices, strict=True):
        np.testing.assert_allclose(cost, np.linalg.norm(p - q[index], axis=1).sum(), rtol=1e-9)


def trees(x: np.ndarray, y: np.ndarray) -> list[tuple]:
    return [cKDTree(q).query(p, workers=-1) for p, q in zip(x, y, strict=True)]


def nearest_rows() -> list[Row]:
    rows: list[Row] = []
    for b, n in ((32, 64), (32, 256), (32, 1024), (8, 2466), (4, 10_000), (1, 20_000), (1, 100_000), (1, 200_000)):
        g = torch.Generator().manual_seed(n)
        x, y = (torch.nn.functional.normalize(torch.randn(b, n, 3, generator=g), dim=-1) for _ in range(2))
        a, c = x.numpy(), y.numpy()
        runs = {"ours": lambda x=x, y=y: ops.nearest(x, y), "cKDTree": lambda a=a, c=c: trees(a, c)}
        if b * n * n <= 4 * 10_000**2:
            runs["cdist"] = lambda x=x, y=y: torch.cdist(x, y).min(-1)
        ms = in_turn(time.perf_counter, runs, 5)
        x.requires_grad_()
        forward, backward = np.inf, np.inf
        for _ in range(5):
            start = time.perf_counter()
            value = ops.chamfer(x, y).sum()
            middle = time.perf_counter()
            value.backward()
            forward, backward = (
                min(forward, middle - start),
                min(backward, time.perf_counter() - middle),
            )
        rows.append(
            {"batch": b, "points": n, "ours ms": ms["ours"], "cdist+min ms": ms.get("cdist", np.nan),
             "cKDTree ms": ms["cKDTree"], "x cdist": ms.get("cdist", np.nan) / ms["ours"],
             "x cKDTree": ms["cKDTree"] / ms["ours"], "chamfer backward/forward": backward / forward}
        )  # fmt: skip
    return rows


def way_rows() -> list[Row]:
    """Both ways of `ops.nearest` on one sphere and in one cube, one thread: the dispatcher should take the faster."""
    rows: list[Row] = []
    for n, m in [(2**k, 2**k) for k in range(6, 18)] + [
        (200_000, 200_000),
        (1024, 10_000),
        (10_000, 1024),
        (64, 65536),
    ]:
        for kind in ("two samples", "uniform"):
            batch = min(32, max(1, 2**23 // (n * m)))
            x, y = (
                torch.from_numpy(np.stack([KINDS[kind](np.random.default_rng([i, b]), k)[1] for b in range(batch)]))
                for i, k in enumerate((n, m))
            )
            x, y = x.float(), y.float()
            a, b = x.numpy(), y.numpy()
            out = [np.empty((batch, n), np.float32), np.empty((batch, n), np.int64)]
            runs: dict[str, Callable[[], object]] = {
                "ours": lambda x=x, y=y: nearest_cpu.search_pairs(x, y),
                "tree": lambda a=a, b=b, out=out: nearest_cpu.along_trees(a, b, [tuple(out)]),
            }
            if n * m <= 2**32:
                runs["tile"] = lambda a=a, b=b, out=out: nearest_cpu.nearest_batch(a, b, *out)
            ms = in_turn(time.thread_time, runs, 7 if n * m < 2**26 else 3)
            best = min(ms["tree"], ms.get("tile", np.inf))
            rows.append(
                {"batch": batch, "queries": n, "points": m, "kind": kind, "tile ms": ms.get("tile", np.nan),
                 "tree ms": ms["tree"],
                 "ours ms": ms["ours"], "chosen": "tree" if nearest_cpu.use_tree(n, m) else "tile",
                 "ours / best": ms["ours"] / best}
            )  # fmt: skip
    return rows


def batch_rows() -> list[Row]:
    rows: list[Row] = []
    for b, n, kind in ((32, 256, "trained"), (32, 1024, "trained"), (32, 1024, "untrained"), (2, 4096, "trained")):
        x, y = pairs_of(kind, n, b)
        first = ops.match(x, y)
        z = x + 0.002 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        a, c, moved_a = x.numpy(), y.numpy(), z.numpy()
        check_costs(a, c, first, scipy_loop(a, c))
        check_costs(moved_a, c, ops.match(z, y, state=first), scipy_loop(moved_a, c))
        ms = in_turn(
            time.perf_counter,
            {
                "cold": lambda x=x, y=y: ops.match(x, y),
                "warm": lambda z=z, y=y, first=first: ops.match(z, y, state=first),
                "scipy": lambda a=a, c=c: scipy_loop(a, c),
                "lapx": lambda a=a, c=c: lapx_batch(a, c),
            },
        )
        rows.append(
            {"batch": b, "points": n, "kind": kind, "cold ms": ms["cold"], "warm ms": ms["warm"],
             "scipy ms": ms["scipy"], "lapjvr_batch ms": ms["lapx"], "cold x scipy": ms["scipy"] / ms["cold"],
             "cold x lapx": ms["lapx"] / ms["cold"], "warm x scipy": ms["scipy"] / ms["warm"]}
        )  # fmt: skip
    return rows


def kind_rows(points: list[int], kinds: list[str]) -> list[Row]:
    rows: list[Row] = []
    for n in points:
        for kind in kinds:
            x, y = pairs_of(kind, n, 2 if n <= 1024 else 1)
            a, c = x.numpy(), y.numpy()
            check_costs(a, c, ops.match(x, y), lapx_loop(a, c))
            runs = {"ours": lambda x=x, y=y: ops.match(x, y), "lapx": lambda a=a, c=c: lapx_loop(a, c)}
            if n <= 1024 and not (kind == "one point" and n > 512):  # scipy takes minutes to break that many ties
                runs["scipy"] = lambda a=a, c=c: scipy_loop(a, c)
            ms = {name: t / len(a) for name, t in in_turn(time.thread_time, runs, 3 if n <= 1024 else 1).items()}
            ways = Counter(assign(p, q).way.name for p, q in zip(a, c, strict=True))
            best = min(ms["lapx"], ms.get("scipy", np.inf))
            rows.append(
                {"points": n, "kind": kind, "ours ms": ms["ours"], "scipy ms": ms.get("scipy", np.nan),
                 "lapjvr ms": ms["lapx"], "time / best peer": ms["ours"] / best,
                 "ways": " ".join(f"{w}:{k}" for w, k in sorted(ways.items()))}
            )  # fmt: skip
            print(".", end="", flush=True)
    return rows


def other_rows() -> list[Row]:
    g = torch.Generator().manual_seed(0)
    x, y = (torch.nn.functional.normalize(torch.randn(32, 1024, 3, generator=g), dim=-1) / 2 for _ in range(2))
    x.requires_grad_()
    runs: dict[str, Callable[[], torch.Tensor]] = {
        "chamfer": lambda: ops.chamfer(x, y),
        "emd": lambda: ops.emd(x, y),
        "sliced_wasserstein, 64 directions": lambda: ops.sliced_wasserstein(x, y, projections=64),
        "sinkhorn, blur 0.05": lambda: ops.sinkhorn(x, y, blur=0.05),
        "sinkhorn, blur 0.01": lambda: ops.sinkhorn(x, y, blur=0.01),
        "sinkhorn, blur 0.01, float64": lambda: ops.sinkhorn(x.double(), y.double(), blur=0.01),
        "sinkhorn, blur 0.01, not debiased": lambda: ops.sinkhorn(x, y, blur=0.01, debiased=False),
    }
    ms = in_turn(time.perf_counter, {name: (lambda run=run: run().sum().backward()) for name, run in runs.items()})
    return [{"distance, 32 x 1024, forward and backward": name, "ms": t} for name, t in ms.items()]


def entropic(x: torch.Tensor, y: torch.Tensor, **settings: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Value, and gradient to x, of each pair."""
    x = x.clone().requires_grad_()
    value = ops.sinkhorn(x, y, **settings)
    value.sum().backward()
    return value.detach(), x.grad.flatten(1)


def sinkhorn_rows() -> list[Row]:
    rows: list[Row] = []
    for kind, p, blur in (
        ("two samples", 2, 0.05), ("two samples", 2, 0.01), ("two samples", 2, 0.003), ("two samples", 1, 0.01),
        ("trained", 2, 0.01), ("untrained", 2, 0.01), ("clusters", 2, 0.01),
    ):  # fmt: skip
        x, y = pairs_of(kind, 1024, 32)
        few_pairs = x[:4], y[:4]
        right, right_slope = entropic(*few_pairs, p=p, blur=blur, tolerance=1e-5, iterations=200_000)
        for tolerance in (0.1, 0.01, 0.001):
            value, slope = entropic(*few_pairs, p=p, blur=blur, tolerance=tolerance)
            cosine = torch.nn.functional.cosine_similarity(slope, right_slope)
            runs = {"ours": lambda x=x, y=y, p=p, blur=blur, t=tolerance: entropic(x, y, p=p, blur=blur, tolerance=t)}
            rows.append(
                {"sets": kind, "p": p, "blur": blur, "tolerance": tolerance,
                 "value error %": 100 * float((value / right - 1).abs().max()), "least cosine": float(cosine.min()),
                 "gradient error %": 100 * float(((slope - right_slope).norm(dim=1) / right_slope.norm(dim=1)).max()),
                 "32 pairs ms": in_turn(time.perf_counter, runs, 2)["ours"]}
            )  # fmt: skip
            print(".", end="", flush=True)
    return rows


def curve_rows() -> list[Row]:
    rows: list[Row] = []
    for n in (64, 128, 256, 512, 1024, 2048, 4096, 8192):
        x, y = pairs_of("trained", n, 1)
        a, c = x.numpy(), y.numpy()
        runs: dict[str, Callable[[], object]] = {
            "exact EMD, lit3d": lambda x=x, y=y: ops.match(x, y),
            "Chamfer, lit3d": lambda x=x, y=y: ops.chamfer(x, y),
        }
        if n <= 4096:
            runs["exact EMD, lapx lapjvr"] = lambda a=a, c=c: lapx_loop(a, c)
            runs["exact EMD, scipy"] = lambda a=a, c=c: scipy_loop(a, c)
        if n <= 8192:
            runs["Chamfer, torch.cdist + min"] = lambda x=x, y=y: [
                m.min(d) for m in [torch.cdist(x, y)] for d in (1, 2)
            ]
        rows += [{"points": n, "what": name, "ms": t} for name, t in in_turn(time.thread_time, runs).items()]
    return rows


def draw_curve(rows: list[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    colours = {
        "scipy": "#b0b0b0",
        "lapjvr": "#7f7f7f",
        "cdist": "#9ecae1",
        "EMD, lit3d": "#d62728",
        "Chamfer, lit3d": "#1f77b4",
    }
    for name in dict.fromkeys(row["what"] for row in rows):
        mine = [row for row in rows if row["what"] == name]
        colour = next(c for key, c in colours.items() if key in str(name))
        n, ms = [r["points"] for r in mine], [r["ms"] for r in mine]
        axes.loglog(n, ms, marker="o", ms=3, color=colour, lw=2.2 if "lit3d" in str(name) else 1.3)
        axes.annotate(
            str(name),
            (n[-1], ms[-1]),
            xytext=(5, 5 if "scipy" in str(name) else -5 if "lapjvr" in str(name) else 0),
            textcoords="offset points",
            color=colour,
            va="center",
        )
    axes.set(xlabel="points in each set", ylabel="milliseconds, one thread", xlim=(55, 110_000))
    axes.set_xticks([64, 256, 1024, 4096], ["64", "256", "1,024", "4,096"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def show(name: str, rows: list[Row], out: Path) -> None:
    keys = list(rows[0])
    cells = [[f"{v:.3g}" if isinstance(v, float) and abs(v) < 100 else f"{v:.0f}" if isinstance(v, float) else str(v)
              for v in row.values()] for row in rows]  # fmt: skip
    widths = [max(len(k), *(len(c[i]) for c in cells)) for i, k in enumerate(keys)]
    print(f"\n{name}")
    for line_ in [keys, *cells]:
        print("  ".join(c.rjust(w) for c, w in zip(line_, widths, strict=True)))
    with (out / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(rows)


TABLES: dict[str, Callable[..., list[Row]]] = {
    "nearest": nearest_rows,
    "ways": way_rows,
    "batch": batch_rows,
    "kinds": kind_rows,
    "other": other_rows,
    "sinkhorn": sinkhorn_rows,
    "curve": curve_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--points", type=int, nargs="+", default=[256, 320, 512, 1024, 2048, 4096])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--out", type=Path, default=Path("outputs/speed/distances"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    ops.match(torch.rand(1, 400, 3), torch.rand(1, 400, 3))  # compile
    found: dict[str, list[Row]] = {}
    for name in options.only:
        torch.set_num_threads(1 if name in ("ways", "kinds", "curve") else threads)
        found[name] = kind_rows(options.points, options.kinds) if name == "kinds" else TABLES[name]()
        show(name, found[name], options.out)
    (options.out / "distances.json").write_text(json.dumps({"threads": threads, **found}, indent=1))
    if "curve" in found:
        draw_curve(found["curve"], options.out / "cost_curve.png")
    print(f"\nwritten to {options.out}")


if __name__ == "__main__":
    main()
