"""Draw how independent angles pull the mean circle inwards, on the line 1 - pi^2 / (6 n).

    python -m lit3d.run -m experiment=mean_shape loss=emd_squared data.sampling=iid model.points=50,100,200,400,1024
    python -m lit3d.run -m experiment=mean_shape loss=emd_squared
    python -m experiments.mean_shape.bias multirun/<both sweeps>

A run with stratified points and the same seed sees the same radii: it is the yardstick where there is one, and takes
out what is left of their noise; else the yardstick is the mean radius of the family.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from experiments.mean_shape.sets import Result, read

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent


def law(n: np.ndarray) -> np.ndarray:
    """Radius over mean radius, less 1: the matched angle error is a Brownian bridge of variance 4 pi^2 / (12 n)."""
    return -(np.pi**2) / (6 * np.asarray(n, float))


def measured(results: Sequence[Result]) -> np.ndarray:
    """(k, 2): n, and the radius over that of the yardstick, less 1; one row a run with independent angles."""
    kinds: dict[str, list[Result]] = {"iid": [], "stratified": []}
    for r in results:
        if (r.family, r.loss) == ("circle", "emd_squared"):
            kinds[r.run.config["data"]["sampling"]].append(r)
    even = {r.run.config["seed"]: r.found["radius"]["mean"] for r in kinds["stratified"]}
    rows = []
    for r in kinds["iid"]:
        yardstick = even.get(r.run.config["seed"], r.found["answers"]["mean"]["hidden"])
        rows.append((len(r.points), r.found["radius"]["mean"] / yardstick - 1))
    return np.array(sorted(rows)).reshape(-1, 2)


def draw(points: np.ndarray, path: Path) -> None:
    """Runs and the line."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    n = np.geomspace(40, 1200, 100)
    axes.plot(n, 100 * law(n), color="#2b6cb0", label="$-\\pi^2 / (6 n)$")
    axes.fill_between(n, 100 * law(n) - 0.3, 100 * law(n) + 0.3, color="#2b6cb0", alpha=0.12, lw=0)
    axes.plot(points[:, 0], 100 * points[:, 1], "o", color="#c2410c", label="measured")
    axes.axhline(0, color="#bbbbbb", lw=1)
    axes.set(xscale="log", xlabel="n", ylabel="radius against the mean radius, %")
    axes.set_xticks([50, 100, 200, 400, 1000], ["50", "100", "200", "400", "1,000"])
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("runs", nargs="+", help="run folders or sweeps")
    parser.add_argument("--out", type=Path, default=HERE / "bias.png")
    arguments = parser.parse_args()
    points = measured(read(arguments.runs))
    draw(points, arguments.out)
    for n, bias in points:
        print(f"n {n:<5.0f} measured {bias:+.2%}  law {float(law(n)):+.2%}  difference {bias - float(law(n)):+.2%}")
    print(arguments.out)


if __name__ == "__main__":
    main()
