"""Draw EMD, its pieces, its gradient, Chamfer and Sinkhorn while one point moves along a line.

    python -m experiments.emd_landscape.figure        # emd_landscape.png and landscape.csv, seconds

No data and no training.
"""

import argparse
import csv
import io
import time
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np

from experiments.emd_landscape.landscape import FIXED, TRUTH, Landscape, default
from lit3d.callbacks import write_atomically

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HERE = Path(__file__).parent
ACTIVE = ("#c53030", "#2b6cb0", "#2f855a", "#b7791f", "#6b46c1", "#0987a0", "#97266d", "#4a5568")
OTHERS = {"cd_l1": ("#111111", "--"), "sinkhorn 0.3": ("#8a8a8a", "-"), "sinkhorn 0.05": ("#8a8a8a", ":")}
LABELS = {
    "cd_l1": "Chamfer, Euclidean (cd_l1)", "sinkhorn 0.3": "Sinkhorn, p = 1, blur 0.3",
    "sinkhorn 0.05": "Sinkhorn, p = 1, blur 0.05",
}  # fmt: skip


def stretches(scene: Landscape) -> list[slice]:
    """Runs of positions with one best bijection."""
    ends = [0, *scene.kinks(), len(scene.at)]
    return [slice(a, b) for a, b in pairwise(ends)]


def draw_plane(axes: Axes, scene: Landscape) -> None:
    """The points, the line in the colours of its bijections, and each of these at the middle of its stretch."""
    truth, fixed, line = np.array(TRUTH), np.array(FIXED), scene.moving.numpy()
    for part, colour in zip(stretches(scene), ACTIVE, strict=False):
        axes.plot(*line[part].T, color=colour, lw=4, alpha=0.5, solid_capstyle="butt")
        middle = (part.start + part.stop) // 2
        first = np.concatenate([fixed, line[middle : middle + 1]])
        for k, (p, j) in enumerate(zip(first, scene.bijections[scene.active[middle]].tolist(), strict=True)):
            bend = 0.06 * (ACTIVE.index(colour) - 1) if k < len(fixed) else 0  # equal pairs stay apart
            arrow = {"arrowstyle": "-", "color": colour, "lw": 1.4, "connectionstyle": f"arc3,rad={bend}"}
            axes.annotate("", truth[j], p, arrowprops=arrow)
        axes.plot(*first[-1], "o", color=colour, ms=9, mec="white")
    axes.plot(*truth.T, "ks", ms=8, label="S2")
    axes.plot(*fixed.T, "o", color="#777777", ms=9, label="S1: two stay")
    axes.plot([], [], "o-", color=ACTIVE[0], lw=4, ms=9, mec="white", label="S1: one moves; a colour, a bijection")
    axes.set(aspect="equal", title="the plane", xticks=[], yticks=[])
    axes.margins(y=0.12)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.03))


def draw_values(axes: Axes, scene: Landscape) -> None:
    """All pieces in grey, the least in colours, other distances."""
    axes.plot(scene.at, scene.pieces, color="#cccccc", lw=0.8)
    axes.plot([], [], color="#cccccc", label=f"the {scene.pieces.shape[1]} bijections, each a smooth curve")
    _coloured(axes, scene, scene.emd.numpy(), "EMD: the least of them")
    _others(axes, scene, scene.others)
    axes.set(ylabel="distance")
    axes.set_title("EMD is the lower envelope of n! curves: continuous, a kink where the bijection changes", size=11)
    axes.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))


def draw_slopes(axes: Axes, scene: Landscape) -> None:
    """Derivatives along the line; a jump of EMD's at each kink, drawn thin."""
    _coloured(axes, scene, scene.slopes["emd"].numpy(), "EMD")
    for k in scene.kinks():
        axes.plot(scene.at[k - 1 : k + 1], scene.slopes["emd"][k - 1 : k + 1], color="#333333", lw=0.8)
    _others(axes, scene, scene.slopes)
    axes.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    axes.set(xlabel="position of the moving point along the line", ylabel="gradient along the line")
    axes.set_title("its gradient exists everywhere but at the kinks, and jumps down there", size=11)


def _coloured(axes: Axes, scene: Landscape, values: np.ndarray, label: str) -> None:
    for i, (part, colour) in enumerate(zip(stretches(scene), ACTIVE, strict=False)):
        axes.plot(scene.at[part], values[part], color=colour, lw=3, label=label if i == 0 else None)


def _others(axes: Axes, scene: Landscape, values: dict) -> None:
    for name, (colour, style) in OTHERS.items():
        axes.plot(scene.at, values[name], style, color=colour, lw=1.4, label=LABELS[name])


def draw(scene: Landscape, path: Path) -> None:
    """The whole figure."""
    figure = plt.figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.65), height_ratios=(1.6, 1))
    draw_plane(figure.add_subplot(grid[:, 0]), scene)
    values = figure.add_subplot(grid[0, 1])
    draw_values(values, scene)
    slopes = figure.add_subplot(grid[1, 1], sharex=values)
    draw_slopes(slopes, scene)
    for axes in (values, slopes):
        axes.spines[["top", "right"]].set_visible(False)
        for k in scene.kinks():
            axes.axvline(scene.at[k], color="#dddddd", lw=0.8, zorder=0)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def write_table(scene: Landscape, path: Path) -> None:
    """One row a position: every curve, and the partner of each point under the best bijection."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    curves = {"emd": scene.emd, **scene.others} | {f"slope of {k}": v for k, v in scene.slopes.items()}
    writer.writerow(["at", "x", "y", "bijection", *curves])
    for i, (at, (x, y)) in enumerate(zip(scene.at.tolist(), scene.moving.tolist(), strict=True)):
        partners = " ".join(str(j) for j in scene.bijections[scene.active[i]].tolist())
        numbers = (f"{float(c[i]):.6f}" for c in curves.values())
        writer.writerow([f"{at:.4f}", f"{x:.4f}", f"{y:.4f}", partners, *numbers])
    write_atomically(path, stream.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the picture and the table")
    arguments = parser.parse_args()
    began = time.perf_counter()
    scene = default()
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_table(scene, arguments.out / "landscape.csv")
    draw(scene, arguments.out / "emd_landscape.png")
    for k in scene.kinks():
        before, after = (scene.slopes["emd"][i].item() for i in (k - 1, k))
        old, new = (scene.bijections[scene.active[i]].tolist() for i in (k - 1, k))
        print(f"at {scene.at[k]:.3f}: bijection {old} -> {new}, slope of EMD {before:+.3f} -> {after:+.3f}")
    print(f"{len(scene.kinks())} kinks, {time.perf_counter() - began:.1f} s; {arguments.out / 'emd_landscape.png'}")


if __name__ == "__main__":
    main()
