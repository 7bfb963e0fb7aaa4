"""What the road from points to a mesh costs with perfect input: true samples of grammar shapes, meshed and scored.

    python -m experiments.to_mesh.truth_points --each 4

Each closed shape gives 10,000 points: with their true normals (oriented), with estimated ones that true normals turn
outwards (sides), and without any (plain); the mesh and the truth are compared by 100,000 points each, beside truth
against truth. So `sides` costs what estimated planes cost, and `plain` in addition what wrong sides do; `askew` is the
share of normals that lie more than 20 degrees off, `turned` that of the others that point inwards. Shapes with thin
parts are listed apart: a tenth or more of their surface has less than two spacings of the points behind it, which no
method can tell from noise.
"""

import argparse
import time

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from lit3d.ops.meshing import points_to_mesh
from lit3d.ops.normals import estimated_normals, neighbourhoods, spacing
from lit3d.ops.orientation import outward
from lit3d.synthesis import GrammarSource
from lit3d.synthesis.occupancy import inside_function
from lit3d.synthesis.pipeline import prepared
from lit3d.synthesis.surface import outer_surface

GIVEN, SCORED, RADIUS = 10_000, 100_000, 0.01
STRAIGHT = float(np.cos(np.radians(20)))
ROADS = ("oriented", "sides", "plain")


def fscore(ours, theirs):
    precision, recall = (np.mean(cKDTree(b).query(a)[0] < RADIUS) for a, b in ((ours, theirs), (theirs, ours)))
    return 2 * precision * recall / max(precision + recall, 1e-9)


def thin_share(shape, sample, depth):
    """Share of the surface behind which, `depth` inwards, one is outside again."""
    behind = sample.points[:GIVEN] - depth * sample.normals[:GIVEN]
    return float(np.mean(inside_function(shape)[1](behind.astype(np.float32)) < 0.5))


def measure(source, item):
    ready = prepared(source.load(item))
    sample = outer_surface(ready.mesh, GIVEN + 2 * SCORED, np.random.default_rng(0))
    points, normals = (torch.from_numpy(a[:GIVEN]) for a in (sample.points, sample.normals))
    truth, other = sample.points[GIVEN : GIVEN + SCORED], sample.points[GIVEN + SCORED :]
    thin = thin_share(ready.shape, sample, 2 * spacing(neighbourhoods(points)[0]))
    row = {"object": item.object, "thin": thin, "ceiling": fscore(other, truth)}
    found = outward(points, estimated_normals(points))
    cosine = (found * normals).sum(-1)
    row["askew"] = float((cosine.abs() < STRAIGHT).float().mean())
    row["turned"] = float((cosine < -STRAIGHT).float().mean()) / max(1 - row["askew"], 1e-9)
    sided = torch.where(cosine[:, None] < 0, -found, found)
    for name, given in zip(ROADS, (normals, sided, None), strict=True):
        began = time.perf_counter()
        made = points_to_mesh(points, given)
        row[f"{name}_s"] = time.perf_counter() - began
        mesh = trimesh.Trimesh(made.vertices.numpy(), made.faces.numpy(), process=False)
        surface, _ = trimesh.sample.sample_surface(mesh, SCORED, seed=0)
        row[f"{name}_F"], row[f"{name}_watertight"] = fscore(surface, truth), mesh.is_watertight
    return row


def report(title, rows):
    if not rows:
        return
    print(f"{title}: {len(rows)} shapes")
    for name in ROADS:
        scores = np.array([row[f"{name}_F"] for row in rows])
        good = [row[f"{name}_F"] >= 0.97 * row["ceiling"] and row[f"{name}_watertight"] for row in rows]
        seconds = np.median([row[f"{name}_s"] for row in rows])
        print(f"  {name:9} F at 1 %: median {np.median(scores):.3f}, least {scores.min():.3f}; at least 0.97 of truth "
              f"against truth and watertight: {np.mean(good):.0%}; {seconds:.1f} s a shape")  # fmt: skip
    for name in ("askew", "turned"):
        shares = [row[name] for row in rows]
        print(f"  {name:9} median {np.median(shares):.1%}, most {max(shares):.1%}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--each", type=int, default=4, help="shapes of each category")
    arguments.add_argument("--categories", nargs="*", default=None)
    options = arguments.parse_args()
    source = GrammarSource(options.each, options.categories, seed=1)
    rows = []
    for item in source.items():
        rows.append(measure(source, item))
        print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    report("All", rows)
    report("Thin parts below a tenth", [row for row in rows if row["thin"] < 0.1])
    report("Thin parts", [row for row in rows if row["thin"] >= 0.1])


if __name__ == "__main__":
    main()
