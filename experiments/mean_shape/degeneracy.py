"""At p = 0.5 every shape on the way from bar to bar and disk has the same expected EMD: watch it flatten with n.

    python -m experiments.mean_shape.degeneracy      # no runs needed; a minute on one core

A disk with a share t of its points lies on a W1 geodesic: E = (W1(x, A) + W1(x, B)) / 2 is W1(A, B) / 2 for all t in
the continuum. Finite samples lift both ends, where x must follow the noise of one shape alone.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
import torch

from lit3d import ops
from lit3d.data.families import BAR, DISK, DISK_RADIUS, EXTRA, STRATEGIES, bar_and_disk, parameters

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
COUNTS = (50, 100, 200, 400, 800, 1600)
STEPS = 9
DRAWN = 3200  # points of each shape: fewer samples of larger sets, but at least 4


def on_the_way(n: int, t: float, generator: torch.Generator) -> torch.Tensor:
    """Points (n, 2): a share t of the disk's points in the disk, the others spread over the bar."""
    count = round(t * EXTRA * n)
    u = parameters(1, n - count, "stratified", generator)[0]
    bar = (u[:, :2] - 0.5) * BAR
    v = parameters(1, max(count, 1), "stratified", generator)[0, :count]
    angle, r = 2 * torch.pi * v[:, 1], DISK_RADIUS * v[:, 0].sqrt()
    return torch.cat([bar, DISK + torch.stack([r * angle.cos(), r * angle.sin()], dim=-1)])


def expected(n: int, sampling: str, drawn: int = DRAWN, seed: int = 0) -> np.ndarray:
    """(steps,) expected EMD at p = 0.5 along the way, over the same samples for each step."""
    samples = max(4, drawn // n)
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.arange(2 * samples) % 2
    members = bar_and_disk(hidden.float(), parameters(2 * samples, n, sampling, draw))
    sets = [on_the_way(n, t, draw) for t in np.linspace(0, 1, STEPS)]
    return np.array([float(ops.emd(x.expand(2 * samples, -1, -1), members).mean()) for x in sets])


def relief(values: np.ndarray) -> float:
    """Highest over lowest, less 1: 0 is flat."""
    return float(values.max() / values.min() - 1)


def draw(counts: Iterable[int], path: Path) -> list[tuple[str, int, float, float]]:
    """Draw the curves; returns (sampling, n, expected loss halfway, relief)."""
    figure, grid = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    rows = []
    for axes, sampling in zip(grid, reversed(STRATEGIES), strict=True):
        for n, shade in zip(counts, plt.get_cmap("viridis_r")(np.linspace(0.1, 0.95, len(list(counts)))), strict=True):
            values = expected(n, sampling)
            above = 100 * (values / values.min() - 1)
            axes.plot(np.linspace(0, 1, STEPS), above, "o-", color=shade, ms=3, label=f"n = {n:,}")
            rows.append((sampling, n, float(values[STEPS // 2]), relief(values)))
        axes.set(title=f"sampling = {sampling}", xlabel="points in the disk, as a share of a real disk's")
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylabel("expected EMD at p = 0.5, % above the lowest")
    grid[1].legend(frameon=False, loc="upper center")
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, default=HERE / "degeneracy.png")
    arguments = parser.parse_args()
    for sampling, n, halfway, height in draw(COUNTS, arguments.out):
        print(f"{sampling:<11} n {n:<4} halfway {halfway:.4f}  highest over lowest {height:+.1%}")
    print(arguments.out)


if __name__ == "__main__":
    main()
