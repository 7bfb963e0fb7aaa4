"""The truth at n points against the truth as tests score it: 10,000 stored points of each test object.

    python -m experiments.point_budget.truth                 # the default set; 280 objects, minutes

Points are drawn anew from the stored meshes, independently of the stored truth: n uniform ones, and the first n of a
farthest-point order over POOL uniform ones (each point the farthest from those before it). Writes scores.csv (means
over objects) and surfaces.csv (area of each object, and how much surface a ball around a surface point really holds).
"""

import argparse
import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from scipy.spatial import cKDTree

from lit3d import ops
from lit3d.callbacks import write_atomically
from lit3d.data import DatasetReader
from lit3d.errors import UserError
from lit3d.metrics import score_points
from lit3d.synthesis.pipeline import object_generator, prepared
from lit3d.synthesis.surface import outer_surface

HERE = Path(__file__).parent
COUNTS = tuple(2**k for k in range(6, 15))  # 64 ... 16,384
PERCENTS = (1, 2, 5)
TRUTH = 10_000  # m
POOL = COUNTS[-1]  # what farthest points are chosen from; beyond a quarter of it there is little left to choose
SEED = 1  # of the new points; datasets are made with 0
PROBES = 1000  # surface points around which balls are measured


def new_points(reader: DatasetReader, name: str, count: int) -> tuple[np.ndarray, float]:
    """Uniform points (count, 3) on the outer surface of a stored mesh, and that surface's area."""
    mesh = prepared(reader.mesh(name)).mesh
    sample = outer_surface(mesh, count, object_generator(SEED, name))
    area = float(np.linalg.norm(mesh.vectors.astype(np.float64), axis=1).sum() / 2)
    return sample.points, area * (1 - sample.dropped_share)


def ball_ratio(points: np.ndarray, centres: np.ndarray, area: float, radius: float) -> float:
    """Mean area of surface in a ball around its points, over pi tau^2: 1 where the formula's assumption holds.

    Args:
        points: (n, 3) dense uniform sample of the surface.
        centres: (c, 3) other points of it.
        area: of the surface.
        radius: tau.
    """
    inside = cKDTree(points).query_ball_point(centres, radius, return_length=True)
    return float(np.mean(inside) / len(points) * area / (math.pi * radius**2))


def budgets(points: torch.Tensor, counts: tuple[int, ...] = COUNTS) -> Iterator[tuple[str, int, torch.Tensor]]:
    """(sampling, n, subset (1, n, 3)) of uniform points (1, pool, 3), whose order means nothing."""
    most = max(n for n in counts if n <= points.shape[1] // 4)
    order = ops.farthest_point_subset(points, most)[0]
    for n in counts:
        yield "uniform", n, points[:, :n].contiguous()
        if n <= most:
            yield "farthest", n, points[:, order[:n]]


def measure(reader: DatasetReader, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Scores of one object for each sampling and count, and what its surface is like."""
    points, area = new_points(reader, name, POOL)
    truth = reader.point_array(name, "points", 0, TRUTH)
    identity = {"object": name, "category": reader.category(name)}
    surface = identity | {"area": area}
    for p in PERCENTS:
        surface[f"ball_ratio_{p}pct"] = ball_ratio(points, truth[:PROBES], area, p / 100)
    scores = []
    for sampling, n, subset in budgets(torch.from_numpy(points)[None]):
        found = score_points(subset, torch.from_numpy(truth)[None], PERCENTS)
        kept = {k: float(v) for k, v in found.items() if k not in ("failure", "chamfer_l2sq")}
        scores.append(identity | {"sampling": sampling, "n": n} | kept)
    return scores, surface


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over objects of each sampling, count and category; category `all` is over all objects."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in rows:
        for category in ("all", row["category"]):
            groups.setdefault((row["sampling"], row["n"], category), []).append(row)
    names = [k for k in rows[0] if k not in ("object", "category", "sampling", "n")]
    return [
        {"sampling": sampling, "n": n, "category": category, "objects": len(part)}
        | {k: float(np.mean([row[k] for row in part])) for k in names}
        for (sampling, n, category), part in sorted(groups.items())
    ]


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as CSV, numbers with five digits."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_atomically(path, stream.getvalue())


def main() -> None:
    """Measure all test objects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="datasets/grammar-64px", help="a dataset that keeps its meshes")
    parser.add_argument("--objects", type=int, help="only so many")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the tables")
    arguments = parser.parse_args()
    reader = DatasetReader(arguments.data)
    if reader.point_count < TRUTH:
        raise UserError(f"{arguments.data} stores {reader.point_count} points an object, {TRUTH} are needed")
    names = list(dict.fromkeys(name for name, _ in reader.index("test")))
    if arguments.objects:
        names = [names[i] for i in np.linspace(0, len(names) - 1, arguments.objects).astype(int)]
    scores, surfaces = [], []
    for name in track(names, "objects"):
        found, surface = measure(reader, name)
        scores += found
        surfaces.append(surface)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_table(arguments.out / "scores.csv", means(scores))
    write_table(arguments.out / "surfaces.csv", surfaces)


if __name__ == "__main__":
    main()
