"""How many images per second does one core render, and how does ray casting compare?

    python -m experiments.speed.render                                  # solids of 1k to 20k faces
    python -m experiments.speed.render --meshes grammar --csv render.csv
    python -m experiments.speed.render --meshes my_models/ --count 20   # any folder of meshes

Setting a mesh up counts, reading its file does not. Rounds are interleaved and the median is shown, because other
programs on the machine disturb any single figure; the last column counts processor time instead of the clock.
Ray casting is embreex with the same shading; images/s of both come from the same run.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import trimesh
from rich.console import Console
from rich.table import Table

from lit3d.errors import UserError
from lit3d.ops.kernels import shading, zbuffer
from lit3d.synthesis.cameras import Camera, draw_cameras
from lit3d.synthesis.lights import Lights
from lit3d.synthesis.loading import load_mesh
from lit3d.synthesis.render import NO_SHADOW, RenderMesh, prepare, render
from lit3d.synthesis.shape import Shape, UnusableMeshError, bounds, normalised

TARGETS = {64: 2000, 128: 1000, 224: 450}  # images/s per core at one sample per pixel, four views a mesh
CREASE = np.cos(np.deg2rad(40))


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    renderer: str
    size: int
    images_per_s: float
    images_per_cpu_s: float
    target: int | None


def solids() -> list[Shape]:
    """A fixed set of multi-part shapes, 500 to 20k faces, median 5k."""
    rng = np.random.default_rng(0)
    parts: list[Callable[[], trimesh.Trimesh]] = [
        lambda: trimesh.creation.icosphere(int(rng.integers(2, 5))),
        lambda: trimesh.creation.torus(0.6, 0.2, major_sections=48, minor_sections=int(rng.integers(8, 32))),
        lambda: trimesh.creation.cylinder(0.3, 1.5, sections=64).subdivide(),
        lambda: trimesh.creation.box((1, 0.3, 0.8)).subdivide().subdivide(),
    ]
    shapes = []
    for count in (2, 3, 3, 4, 4, 5, 6, 6, 8, 10):
        pieces = []
        for _ in range(count):
            piece = parts[rng.integers(len(parts))]()
            piece.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
            pieces.append(piece.apply_scale(rng.uniform(0.2, 0.6)).apply_translation(rng.uniform(-0.5, 0.5, 3)))
        whole = trimesh.util.concatenate(pieces)
        colours = np.tile(rng.random(3).astype(np.float32), (len(whole.faces), 1))
        shapes.append(Shape(np.asarray(whole.vertices, np.float64), np.asarray(whole.faces), colours,
                            np.zeros(len(colours), np.int32)))
    return shapes


def from_grammar(count: int) -> list[Shape]:
    from lit3d.synthesis.grammar import CATEGORIES, sample
    names = list(CATEGORIES)
    return [sample(names[i % len(names)], np.random.default_rng(i)) for i in range(count)]


def from_folder(folder: Path, count: int) -> list[Shape]:
    """Every n-th mesh below a folder that loads, `count` in all."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".obj", ".ply", ".stl", ".off", ".glb"})
    if not files:
        raise UserError(f"no meshes (.obj .ply .stl .off .glb) below {folder}")
    shapes: list[Shape] = []
    for path in files[::max(1, len(files) // count)]:
        try:
            shapes.append(load_mesh(path))
        except UnusableMeshError as error:
            print(f"skipped {path.name}: {error}", file=sys.stderr)
        if len(shapes) == count:
            break
    return shapes


def ray_cast(mesh: RenderMesh, cameras: Iterable[Camera]) -> None:
    """The same pictures by embreex: one scene per mesh, one ray per pixel, then the shading kernels."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.vertices, mesh.faces)
    corners = np.empty((len(mesh.faces), 3, 3), np.float32)
    smoothed = np.zeros(len(mesh.faces), np.bool_)
    projected = np.empty((len(mesh.vertices), 5))
    for camera in cameras:
        (height, width), rotation = camera.size, camera.object_to_camera[:3, :3]
        inverse = np.linalg.inv(camera.intrinsics)
        v, u = np.mgrid[:height, :width] + 0.5
        rays = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], 1) @ (rotation.T @ inverse).T
        origins = np.broadcast_to(camera.centre.astype(np.float32), rays.shape).copy()
        ids = scene.run(origins, rays.astype(np.float32), output=1)["primID"].reshape(height, width).astype(np.int32)
        zbuffer.project_vertices(mesh.vertices, camera.matrix, 1.0, projected)
        normal, barycentric = np.empty((2, height, width, 3), np.float32)
        zbuffer.resolve(projected, mesh.faces, mesh.vectors, rotation, ids, inverse, np.empty(ids.shape, np.bool_),
                        np.empty(ids.shape, np.float32), normal, barycentric)
        shading.shade(projected, mesh.vertices, mesh.faces, mesh.vectors, mesh.around, mesh.material,
                      Lights().in_object_frame(rotation, camera.centre), NO_SHADOW, rotation.T @ inverse, CREASE, 1,
                      ids, corners, smoothed, np.empty((height, width, 4), np.uint8))


def rasterised(samples: int, shadows: bool = False) -> Callable[[RenderMesh, Iterable[Camera]], None]:
    def run(mesh: RenderMesh, cameras: Iterable[Camera]) -> None:
        for camera in cameras:
            render(mesh, camera, samples=samples, shadows=shadows)
    return run


RENDERERS: dict[str, Callable[[RenderMesh, Iterable[Camera]], None]] = {
    "z-buffer": rasterised(1), "z-buffer, 2 x 2 samples": rasterised(2),
    "z-buffer, shadows": rasterised(1, shadows=True), "embreex": ray_cast,
}


def timed(shapes: list[Shape], size: int, views: int,
          renderer: Callable[[RenderMesh, Iterable[Camera]], None]) -> tuple[float, float]:
    """Seconds by the clock and of processor time for all views of all shapes."""
    rng, laid_out = np.random.default_rng(0), []
    for shape in shapes:
        lower, upper = bounds(shape)
        laid_out.append((normalised(shape.vertices, lower, upper), (upper - lower) / (upper - lower).max()))
    clock, processor = time.perf_counter(), time.process_time()
    for shape, (vertices, extents) in zip(shapes, laid_out, strict=True):
        renderer(prepare(vertices, shape), draw_cameras(rng, views, (size, size), extents))
    return time.perf_counter() - clock, time.process_time() - processor


def measure(shapes: list[Shape], sizes: list[int], views: int, rounds: int) -> list[Result]:
    """Every renderer at every size, interleaved."""
    seconds: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for function in RENDERERS.values():  # compile and fill caches
        timed(shapes[:2], sizes[0], 1, function)
    for _ in range(rounds):
        for size in sizes:
            for name, function in RENDERERS.items():
                seconds.setdefault((name, size), []).append(timed(shapes, size, views, function))
    images = len(shapes) * views
    return [Result(name, size, *(images / np.median(taken, axis=0)).round(1).tolist(),
                   TARGETS.get(size) if name == "z-buffer" and views == 4 else None)
            for (name, size), taken in seconds.items()]


def show(results: list[Result], shapes: list[Shape], views: int) -> None:
    faces = [len(shape.faces) for shape in shapes]
    table = Table(title=f"{len(shapes)} meshes, faces: median {np.median(faces):.0f}, mean {np.mean(faces):.0f}; "
                        f"{views} views each, set-up included")
    for column in ("renderer", "pixels", "images/s", "target", "x embreex", "images/CPU-s"):
        table.add_column(column, justify="left" if column == "renderer" else "right")
    rays = {result.size: result.images_per_s for result in results if result.renderer == "embreex"}
    for r in results:
        table.add_row(r.renderer, str(r.size), f"{r.images_per_s:.0f}", str(r.target or ""),
                      f"{r.images_per_s / rays[r.size]:.1f}", f"{r.images_per_cpu_s:.0f}")
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", default="solids", help="solids, grammar, or a folder (default: solids)")
    parser.add_argument("--count", type=int, default=20, help="meshes from the grammar or the folder")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    if args.meshes == "solids":
        shapes = solids()
    elif args.meshes == "grammar":
        shapes = from_grammar(args.count)
    else:
        shapes = from_folder(Path(args.meshes), args.count)
    results = measure(shapes, args.sizes, args.views, args.rounds)
    show(results, shapes, args.views)
    rows = [asdict(result) for result in results]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
