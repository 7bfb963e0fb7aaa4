"""Free points, no network: move a blob onto fixed targets by each loss, and score it by the exact EMD.

    python -m experiments.approximate_emd.free_points            # scores.csv, free_points.png; minutes
    python -m experiments.approximate_emd.free_points --time     # times.csv; the machine should be idle

Equal steps of Adam at an equal, falling rate for every loss: Adam's steps do not depend on a loss's scale.
"""

import argparse
import csv
import io
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.approximate_emd.figure import draw
from experiments.approximate_emd.methods import Loss, Method, methods, violations
from experiments.approximate_emd.shapes import SHAPES, sample
from lit3d import ops
from lit3d.callbacks import write_atomically

HERE = Path(__file__).parent
POINTS, TIMED, STEPS, RATE = 512, 1024, 150, 0.02
BLOB, NOISE = 0.05, 0.02  # standard deviations: of the start, and of the pair on which plans are compared
Row = dict[str, Any]


def optimise(
    loss: Loss, target: Float[Tensor, "b n 3"], steps: int, checks: Sequence[int] = (), seed: int = 0
) -> tuple[Float[Tensor, "b n 3"], list[Row]]:
    """Move a blob onto the targets.

    Args:
        loss: minimised.
        target: one set a shape.
        steps: of Adam, with a rate that falls along a cosine to 0.
        checks: steps after which the mean exact EMD is measured.
        seed: of the blob.

    Returns:
        The points and a row (step, emd) for each check.
    """
    generator = torch.Generator().manual_seed(seed)
    points = (BLOB * torch.randn(target.shape, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([points], RATE)
    curve = []
    for step in range(steps + 1):
        if step in checks:
            curve.append({"step": step, "emd": float(ops.emd(points.detach(), target).mean())})
        if step < steps:
            optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.zero_grad()
            loss(points, target).sum().backward()
            optimizer.step()
    return points.detach(), curve


def score(name: str, method: Method, target: Tensor, steps: int) -> tuple[list[Row], list[Row], Tensor]:
    """A row for each shape, the curve over steps, and where the points ended."""
    checks = sorted({*range(0, steps + 1, max(1, steps // 10)), steps})
    points, curve = optimise(method.loss, target, steps, checks)
    reached = ops.emd(points, target)
    start = torch.Generator().manual_seed(1)
    near = sample(target.shape[1], seed=1) + NOISE * torch.randn(target.shape, generator=start)
    missed, crowded = violations(method.partners(near, target), target.shape[1])
    rows = [
        {"loss": name, "shape": shape, "n": target.shape[1], "steps": steps, "emd": float(reached[i]),
         "not matched": float(missed[i]), "matched more than once": float(crowded[i])}
        for i, shape in enumerate(SHAPES)
    ]  # fmt: skip
    return rows, [{"loss": name, **row} for row in curve], points


def clock(found: Mapping[str, Method], count: int = TIMED, batch: int = 8, rounds: int = 5) -> list[Row]:
    """Milliseconds of a step (forward and backward of a batch) and their ratio to `emd`, losses taken in turn.

    Each round times every loss once, so that a machine that is busy for a while is busy for all.
    """
    target = torch.cat([sample(count, seed) for seed in range(-(-batch // len(SHAPES)))])[:batch]
    near = target + NOISE * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for round_ in range(rounds + 1):
        for name, method in found.items():
            x = near.clone().requires_grad_()
            began = time.perf_counter()
            method.loss(x, target).sum().backward()
            if round_:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    base = seconds["emd"]
    return [
        {"loss": name, "n": count, "batch": batch, "ms": 1000 * median(s),
         "times emd": median(a / b for a, b in zip(s, base, strict=True))}
        for name, s in seconds.items()
    ]  # fmt: skip


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Rows as CSV, numbers with four digits."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_atomically(path, stream.getvalue())


def measure(out: Path, count: int, steps: int, only: Sequence[str] = ()) -> None:
    """Scores, curves and the figure."""
    target = sample(count, seed=0)
    scores, curves, ends = [], [], {}
    for name, method in methods().items():
        if only and name not in only:
            continue
        began = time.perf_counter()
        rows, curve, ends[name] = score(name, method, target, steps)
        scores, curves = scores + rows, curves + curve
        facts = " ".join(f"{row['shape']} {row['emd']:.4f}" for row in rows)
        print(f"{name}: exact EMD after {steps} steps: {facts} ({time.perf_counter() - began:.0f} s)", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "scores.csv", scores)
    write_table(out / "curves.csv", curves)
    draw(scores, curves, ends, target, out / "free_points.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--time", action="store_true", help="measure the time of a step instead")
    parser.add_argument("--only", nargs="*", default=(), help="names of losses")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of tables and picture")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "sinkhorn stopped")  # small blurs on a coarse start: what they reach is measured
    if arguments.time:
        rows = clock(methods())
        write_table(arguments.out / "times.csv", rows)
        print("\n".join(f"{r['loss']}: {r['ms']:.0f} ms, {r['times emd']:.2f} x emd" for r in rows))
    else:
        measure(arguments.out, arguments.points, arguments.steps, arguments.only)


if __name__ == "__main__":
    main()
