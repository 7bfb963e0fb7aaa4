"""What an L_p loss cannot say, without a network: flying pixels at an uncertain edge, directions of a surface.

    python -m experiments.depth_losses.demo        # demo.png and a table, seconds

No data and no training.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch

from experiments.depth_losses.synthetic import FAR, NEAR, Edge, Errors, equal_errors, uncertain_edge
from lit3d import losses, metrics, ops

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
STYLE = {"l2": ("#c53030", "o-"), "l1": ("#2b6cb0", "s-"), "berhu": ("#b7791f", "^:"), "silog": ("#2f855a", "v:")}
TITLES = {"truth": "truth", "offset": "0.03 too far\neverywhere", "noisy": "0.03 too far\nor too near"}


def draw_edge(axes: Axes, edge: Edge) -> None:
    """The surfaces seen from above: what may be true in grey, what each loss answers in colour."""
    pixel = np.arange(edge.truths.shape[-1]) + 0.5
    for truth in edge.truths[:, 0, 0]:
        axes.step(pixel, truth, where="mid", color="#999999", lw=0.8, alpha=0.25)
    axes.plot([], [], color="#999999", lw=0.8, label="equally likely truths")
    for name, row in edge.fitted.items():
        colour, style = STYLE[name]
        axes.plot(pixel, row, style, color=colour, ms=5 if name in ("l1", "l2") else 3, lw=1, label=name)
    axes.invert_yaxis()
    axes.set(xlabel="pixel", ylabel="depth (down is away from the camera)")
    axes.set_title("an edge somewhere near the middle, and the row of least mean loss:\n"
                   "L2 puts pixels where no surface ever is, L1 decides for one of two", size=10)  # fmt: skip
    axes.legend(fontsize=8, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)


def draw_errors(figure: Figure, cells: list[list[Axes]], errors: Errors) -> None:
    """A row a depth map: its depth, its normals, and a cut through its points from the side."""
    mask, middle = errors.mask[0, 0].numpy(), errors.mask.shape[2] // 2
    near, far = errors.depth["truth"][errors.mask].min() - 0.05, errors.depth["truth"][errors.mask].max() + 0.05
    for (left, centre, right), (name, title) in zip(cells, TITLES.items(), strict=True):
        depth, normal = errors.depth[name][0, 0].numpy(), errors.normal[name][0].permute(1, 2, 0).numpy()
        left.imshow(np.where(mask, depth, np.nan), cmap="viridis_r", vmin=near, vmax=far)
        left.set_ylabel(title, size=9)
        shown = normal * [1, -1, -1] / 2 + 0.5  # to the right red, up green, to the camera blue
        centre.imshow(np.where(errors.inside[0, 0].numpy()[..., None], shown, 1.0).clip(0, 1))
        points = ops.unproject(errors.depth[name], errors.intrinsics)[0, :, :, middle][:, mask[:, middle]].numpy()
        right.plot(points[2], -points[1], ".-", ms=3, lw=0.6, color="#2b6cb0")
        right.set(aspect="equal", xlim=(0.93, 1.57), ylim=(-0.5, 0.5))
        for axes in (left, centre, right):
            axes.set(xticks=[], yticks=[])
        if name != "truth":
            angle = float(mean_angle(errors, name))
            centre.set_xlabel(f"off by {angle:.1f} degrees in the mean", size=8)
    for axes, title in zip(cells[0], ("depth", "normals", "side view of a column"), strict=True):
        axes.set_title(title, size=9)


def mean_angle(errors: Errors, name: str) -> torch.Tensor:
    """Mean angle to the exact normals."""
    return errors.angle[name][errors.inside].mean()


def table(edge: Edge, errors: Errors) -> str:
    """What the figure shows, in numbers."""
    lines = ["an edge of uncertain position", f"{'loss':<10}{'pixels between the surfaces':>30}{'their depths':>36}"]
    for name, row in edge.fitted.items():
        between = row[(row > NEAR + 0.02) & (row < FAR - 0.02)]
        depths = " ".join(f"{d:.2f}" for d in between.tolist()) or "-"
        lines.append(f"{name:<10}{len(between):>30}{depths:>36}")
    lines += ["", "equal errors in depth", f"{'prediction':<10}{'l1':>8}{'l2':>10}{'abs_rel':>10}{'normal angle':>14}"
              f"{'depth_normal':>14}{'under 11.25':>13}{'visible CD-L1':>15}"]  # fmt: skip
    truth, mask, k = errors.depth["truth"], errors.mask, errors.intrinsics
    for name in ("offset", "noisy"):
        d = errors.depth[name]
        points = ops.unproject(d, k).flatten(2).transpose(1, 2)[:, mask.flatten()]
        cells = [losses.l1(d, truth, mask), losses.l2(d, truth, mask), metrics.depth_scores(d, truth, mask)["abs_rel"],
                 mean_angle(errors, name), losses.depth_normal(d, errors.normal["truth"], truth, mask, k),
                 (errors.angle[name][errors.inside] < 11.25).double().mean(),
                 metrics.visible_chamfer_l1(points, truth, mask, k)]  # fmt: skip
        forms = ("8.4f", "10.6f", "10.4f", "14.2f", "14.4f", "13.1%", "15.4f")
        lines.append(f"{name:<10}" + "".join(format(float(c), f">{f}") for c, f in zip(cells, forms, strict=True)))
    return "\n".join(lines)


def draw(edge: Edge, errors: Errors, path: Path) -> None:
    """The whole figure."""
    figure = plt.figure(figsize=(12, 5.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    draw_edge(left.subplots(), edge)
    cells = right.subplots(3, 3)
    draw_errors(figure, cells.tolist(), errors)
    right.suptitle("equal L1 and L2 error, but one of the two has the shape", size=10)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the picture")
    arguments = parser.parse_args()
    edge, errors = uncertain_edge(), equal_errors()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(table(edge, errors))
    draw(edge, errors, arguments.out / "demo.png")
    print(f"\n{arguments.out / 'demo.png'}")


if __name__ == "__main__":
    main()
