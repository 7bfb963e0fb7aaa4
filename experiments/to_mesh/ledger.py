"""What each road to a mesh costs: scores before and after, for perfect input or for the predictions of networks.

`python -m experiments.to_mesh.ledger` takes shapes of the grammar as perfect input; `--checkpoints a.ckpt b.ckpt` shows
the same test views to networks.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import trimesh

from experiments.scores import Row, show, write_table
from experiments.to_mesh import figure
from experiments.to_mesh.roads import Shape, roads, shape_of
from experiments.to_mesh.scoring import Truth, of_mesh, of_points, of_structure
from lit3d.errors import UserError
from lit3d.structures import Structure
from lit3d.synthesis import GrammarSource
from lit3d.synthesis.pipeline import prepared

HERE = Path(__file__).parent
COLUMNS = ("road", "shapes", "failed", "before_fscore_1pct", "fscore_1pct", "before_fscore_5pct", "fscore_5pct",
           "before_chamfer_l1", "chamfer_l1", "before_normal_consistency", "normal_consistency", "before_iou", "iou",
           "watertight", "vertices", "seconds")  # fmt: skip
SHORT = {"before_": "< ", "fscore_1pct": "F1", "fscore_5pct": "F5", "chamfer_l1": "CD-L1 x100", "watertight": "tight",
         "normal_consistency": "NC", "vertices": "vertices", "seconds": "s"}  # fmt: skip


def entry(given: Structure, convert: Callable[[], trimesh.Trimesh], truth: Truth) -> tuple[Row, trimesh.Trimesh | None]:
    """One line of the ledger, and the mesh; a prediction that gives none is `failed` and says why."""
    row: Row = {f"before_{name}": value for name, value in of_structure(given, truth).items()}
    began = time.perf_counter()
    try:
        mesh = convert()
    except UserError as error:
        return row | {"failed": True, "reason": str(error)}, None
    row["seconds"] = time.perf_counter() - began
    return row | {"failed": False} | of_mesh(mesh, truth), mesh


def perfect(shapes: Iterable[tuple[str, Shape]], picture: Path | None = None) -> Iterator[list[Row]]:
    """All roads, shape by shape; the first one's meshes as a picture."""
    for name, shape in shapes:
        rows: list[Row] = [{"road": "truth against truth", "object": name} | of_points(*shape.other, shape.truth)]
        pictures = {"truth": figure.shaded(whole(shape), shape.camera)}
        for road in roads(shape):
            row, mesh = entry(road.given, road.convert, shape.truth)
            rows.append({"road": road.name, "object": name} | row)
            if mesh is not None and picture is not None:
                pictures[road.name] = figure.shaded(mesh, shape.camera)
            print(f"{name}: {road.name}", flush=True)
        if picture is not None:
            figure.save(pictures, picture)
            picture = None
        yield rows


def whole(shape: Shape) -> trimesh.Trimesh:
    """The true mesh."""
    return trimesh.Trimesh(shape.ready.shape.vertices, shape.ready.shape.faces, process=False)


def means(rows: Sequence[Row]) -> list[Row]:
    """One line a road: means over its shapes of what is known; a failure counts under `failed` alone."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["road"]].append(row)
    table = []
    for road, own in found.items():
        line: Row = {"road": road, "shapes": len(own), "failed": sum(bool(row.get("failed")) for row in own)}
        for name in COLUMNS[3:]:
            values = [float(row[name]) for row in own if name in row]
            if values:
                line[name] = round(np.mean(values)) if name == "vertices" else float(np.mean(values))
        table.append(line)
    return table


def shown(row: Row) -> Row:
    """A line with short heads; distances in hundredths."""
    scaled = {k: v * 100 if k.endswith("chamfer_l1") else v for k, v in row.items()}
    for long, short in SHORT.items():
        scaled = {k.replace(long, short): v for k, v in scaled.items()}
    return scaled


def grammar(each: int, categories: Sequence[str] | None, samples: int) -> Iterable[tuple[str, Shape]]:
    """Shapes of the grammar that no network has seen: seed 1."""
    source = GrammarSource(each, categories, seed=1)
    for item in source.items():
        yield item.object, shape_of(prepared(source.load(item)), samples)


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--each", type=int, default=1, help="shapes of each category")
    arguments.add_argument("--categories", nargs="*", default=None)
    arguments.add_argument("--samples", type=int, default=100_000, help="points of either surface that are compared")
    arguments.add_argument("--checkpoints", type=Path, nargs="*", default=[])
    arguments.add_argument("--data", type=Path, default=None, help="folder of the dataset; the checkpoints' own")
    arguments.add_argument("--views", type=int, default=12, help="test views of the checkpoints' data, one an object")
    arguments.add_argument("--out", type=Path, default=HERE)
    options = arguments.parse_args()
    found: Iterable[list[Row]]
    if options.checkpoints:
        from experiments.to_mesh.predicted import predicted

        name = "predicted"
        found = [predicted(options.checkpoints, options.data, options.views, options.out / f"{name}.png")]
    else:
        name = "ledger"
        found = perfect(grammar(options.each, options.categories, options.samples), options.out / f"{name}.png")
    rows: list[Row] = []
    for further in found:  # what is known is on disk after each shape
        rows += further
        write_table(options.out / f"{name}.csv", rows)
    show("before (<) and after; means over shapes", [shown(row) for row in means(rows)])


if __name__ == "__main__":
    main()
