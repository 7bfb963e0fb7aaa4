"""Fit a sphere to closed meshes by gradient descent: set distance alone, then one regulariser after the other.

    python -m experiments.mesh_losses.fit --furniture FOLDER      # ladder.png/.csv and targets.png/.csv, minutes
    python -m experiments.mesh_losses.fit --targets box pot       # without the furniture package

FOLDER holds the .sh3f archives of the Debian package sweethome3d-furniture (default: where Debian installs them).
"""

import argparse
import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path

from experiments.mesh_losses.drawing import against, draw_mesh, long_edges, plt, save
from experiments.mesh_losses.fitting import Recipe, fit, score
from experiments.mesh_losses.targets import FURNITURE, GENERATED, Target, load
from lit3d.callbacks import write_atomically

HERE = Path(__file__).parent
COLUMNS = ("chamfer_l1", "fscore_1pct", "fscore_2pct", "edge_spread", "longest_edge", "roughness", "folded", "flipped",
           "self_intersection", "normal_consistency", "euler", "seconds")  # fmt: skip
# The ladder adds one term a rung; weights of squared lengths are relative to the squared set distance.
RUNGS = {"uniform_edges": 0.3, "uniform_smoothness": 1.0, "mesh_normal": 3e-3, "dihedral_smoothness": 2e-3}
WEIGHTS = {"uniform_edges": 0.1, "uniform_smoothness": 0.5, "mesh_normal": 1e-3, "dihedral_smoothness": 1e-3}
FULL = Recipe(WEIGHTS, samples=3000, levels=(2, 3, 4), steps=(400, 200, 200))
NEEDED = {True: 0.95, False: 0.85}  # F-score at 2 % of the longest side, convex or not
FLIPPED = 0.01


def ladder() -> dict[str, Recipe]:
    """Recipes from set distance alone to all terms."""
    rungs = {
        "set distance of vertices alone": Recipe(steps=(500,)),
        "set distance of surface samples alone": Recipe(samples=3000, steps=(500,)),
    }
    weights: dict[str, float] = {}
    for name, weight in RUNGS.items():
        weights = {**weights, name: weight}
        rungs[f"{'vertices ' if len(weights) == 1 else ''}+ {name}"] = Recipe(weights, steps=(500,))
    rungs["+ surface samples, coarse to fine"] = Recipe(weights, 3000, (2, 3, 4), (200, 150, 150))
    return rungs


def run(target: Target, recipes: Mapping[str, Recipe], samples: int) -> tuple[dict, dict]:
    """Meshes and scores by recipe."""
    meshes, rows = {}, {}
    for name, recipe in recipes.items():
        began = time.perf_counter()
        meshes[name] = fit(target, recipe)
        seconds = time.perf_counter() - began
        rows[name] = score(*meshes[name], target, samples) | {
            "longest_edge": long_edges(*meshes[name]), "seconds": seconds,
        }  # fmt: skip
        print(f"{target.name}: {name}: " + ", ".join(f"{k} {rows[name][k]:.4g}" for k in COLUMNS), flush=True)
    return meshes, rows


def write_table(rows: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """One row a fit."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["fit", *COLUMNS])
    writer.writerows([name, *(f"{row[k]:.5g}" for k in COLUMNS)] for name, row in rows.items())
    write_atomically(path, stream.getvalue())


def draw_ladder(target: Target, meshes: Mapping, rows: Mapping, path: Path) -> None:
    """Each rung as a wireframe, faces that look inwards in red; the truth last."""
    figure = plt.figure(figsize=(13, 7), layout="constrained")
    for i, (name, (vertices, topology)) in enumerate(meshes.items()):
        row = rows[name]
        title = f"{name}\nF@2 % {row['fscore_2pct']:.2f}, flipped {row['flipped']:.1%}, folded {row['folded']:.1%}"
        draw_mesh(figure, (2, 4, i + 1), vertices, topology, title, against(vertices, topology, target))
    draw_mesh(figure, (2, 4, 8), target.vertices, target.topology, f"the truth: {target.name}")
    save(figure, path)


def draw_targets(fits: Mapping[str, tuple[Target, tuple, Mapping]], path: Path) -> None:
    """Truth above, fitted sphere below."""
    count = len(fits)
    figure = plt.figure(figsize=(2.7 * count, 6), layout="constrained")
    for i, (name, (target, mesh, row)) in enumerate(fits.items()):
        kind = "convex" if target.convex else "concave"
        draw_mesh(figure, (2, count, i + 1), target.vertices, target.topology, f"{name} ({kind})", wires=0.3)
        title = f"F@2 % {row['fscore_2pct']:.3f}, flipped {row['flipped']:.2%}"
        draw_mesh(figure, (2, count, count + i + 1), *mesh, title, against(*mesh, target))
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--targets", nargs="+", default=[*GENERATED, *FURNITURE], help="which; the last is the ladder's"
    )
    parser.add_argument("--furniture", type=Path, default=None, help="folder of the .sh3f archives")
    parser.add_argument("--samples", type=int, default=100_000, help="points of either surface in the scores")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of pictures and tables")
    arguments = parser.parse_args()
    targets = load(arguments.targets, arguments.furniture)
    meshes, rows = run(targets[-1], ladder(), arguments.samples)
    write_table(rows, arguments.out / "ladder.csv")
    draw_ladder(targets[-1], meshes, rows, arguments.out / "ladder.png")
    fits = {}
    for target in targets:
        meshes, rows = run(target, {"all terms": FULL}, arguments.samples)
        fits[target.name] = (target, meshes["all terms"], rows["all terms"])
        row = rows["all terms"]
        held = row["fscore_2pct"] >= NEEDED[target.convex] and row["flipped"] < FLIPPED
        print(
            f"{target.name}: {'holds' if held else 'MISSES'} F@2 % >= {NEEDED[target.convex]}, flipped < {FLIPPED:.0%}"
        )
    write_table({name: row for name, (_, _, row) in fits.items()}, arguments.out / "targets.csv")
    draw_targets(fits, arguments.out / "targets.png")


if __name__ == "__main__":
    main()
