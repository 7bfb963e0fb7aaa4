"""How fast samples come from disk: `python -m experiments.speed.reading [--seconds 2] [--size 64] [--objects 400]`.

Claim: at 64 px one core reads at least 3,000 samples/s (image, 1,024 points, camera) in random order, in both layouts.
Seen on 2026-11-23, 2 busy cores of a Sapphire Rapids VM: 8,500 from shards (5,400 where each object is read for the
first time), 6,300 from folders (4,300).
Makes a dataset of random pictures of blobs in a temporary folder; real pictures compress about as well.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lit3d.data.reader import DatasetReader
from lit3d.synthesis.sources.items import Item
from lit3d.synthesis.store import DatasetBuilder, ObjectRecord, Plan, ViewRecord, encode, write_object

VIEWS, POINTS = 12, 10_000


def blob(rng: np.random.Generator, size: int) -> ViewRecord:
    """A shaded ellipse that covers a quarter of the picture, as objects do."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    a, b = rng.uniform(0.2, 0.4, 2)
    height = 1 - (x / a) ** 2 - (y / b) ** 2
    mask = height > 0
    normal = np.stack([x / a**2, y / b**2, -np.sqrt(np.maximum(height, 1e-6))], axis=-1)
    normal *= mask[..., None] / np.linalg.norm(normal, axis=-1, keepdims=True)
    colour = rng.uniform(60, 250, 3) * (0.5 - 0.5 * normal[..., 2:]) + rng.normal(0, 2, (size, size, 3))
    image = np.concatenate([np.clip(colour, 0, 255) * mask[..., None], mask[..., None] * 255.0], axis=-1)
    pose = np.eye(4)
    pose[2, 3] = 2
    k = np.array([[70.0, 0, size / 2], [0, 70, size / 2], [0, 0, 1]])
    return ViewRecord(image.astype(np.uint8), (1.5 - height * mask) * mask, normal, mask, k, pose)


def make(root: Path, layout: str, objects: int, size: int) -> DatasetReader:
    """A dataset of blobs."""
    items = [Item(f"blob-{number:05d}", "blob", "train") for number in range(objects)]
    plan = Plan("blobs", {}, {"image_size": size, "views": VIEWS, "points": POINTS}, items, layout)
    with DatasetBuilder(root, plan) as builder:
        for number, item in enumerate(items):
            rng = np.random.default_rng(number)
            points = rng.uniform(-0.5, 0.5, (POINTS, 3))
            record = ObjectRecord(points, points, rng.integers(0, 5, POINTS), tuple("abcde"), {}, np.ones(3), 1000,
                                  0.0, tuple(blob(rng, size) for _ in range(VIEWS)))
            builder.commit(write_object(builder.partial, item.object, encode(item, record)), item.object)
        builder.finish({})
    return DatasetReader(root)


def rate(read: Callable[[str, int], object], reader: DatasetReader, seconds: float) -> float:
    """Calls a second in random order; the best of three rounds, as the machine may do other things."""
    index = reader.index()
    order = np.random.default_rng(0).permutation(len(index))
    best, position = 0.0, 0
    for _ in range(3):
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < seconds / 3:
            for _ in range(20):
                read(*index[order[position % len(order)]])
                position += 1
            calls += 20
        best = max(best, calls / (time.perf_counter() - began))
    return best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--objects", type=int, default=400)
    options = parser.parse_args()
    print(f"samples/s on one core, random order, {options.size} px, {options.objects} objects x {VIEWS} views")
    print(f"{'layout':8} {'sample':>8} {'cold':>8} {'image':>8} {'points':>8} {'camera':>8} {'depth+normal+mask':>18}")
    for layout in ("shards", "folders"):
        with tempfile.TemporaryDirectory() as folder:
            reader = make(Path(folder) / "data", layout, options.objects, options.size)

            def sample(name: str, view: int, reader: DatasetReader = reader) -> None:
                reader.image(name, view)
                reader.point_array(name, "points", 0, 1024)
                reader.camera(name, view)

            def cold(name: str, view: int, reader: DatasetReader = reader, sample: Callable = sample) -> None:
                reader._cameras_of.cache_clear()  # every object for the first time
                sample(name, view)

            def points(name: str, _: int, reader: DatasetReader = reader) -> None:
                reader.point_array(name, "points", 0, 1024)

            reads = (sample, cold, reader.image, points, reader.camera, reader.geometry)
            numbers = [rate(read, reader, options.seconds) for read in reads]
            print(f"{layout:8} " + " ".join(f"{number:8,.0f}" for number in numbers[:-1]) + f" {numbers[-1]:18,.0f}",
                  flush=True)


if __name__ == "__main__":
    main()
