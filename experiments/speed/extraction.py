"""How long the surface of a trained field takes: multiresolution against the dense grid, and where the time goes.

    python -m experiments.speed.extraction CHECKPOINT --shapes 8

One shape at a time, on one thread: seconds of the processor, which do not count what other programs take, and of the
wall. `decoder` is what the field's own evaluation takes of them; the rest is the search and marching cubes.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import default_collate

from experiments.to_mesh.predicted import test_views
from lit3d.build import load_module
from lit3d.ops.isosurface import mise
from lit3d.structures import OccupancyField


class Cost(NamedTuple):
    """Of one extraction: milliseconds of the processor, of the wall, of the decoder; how often the field was asked."""

    processor: float
    wall: float
    decoder: float
    queries: int
    faces: int


def measured(field: OccupancyField, coarse: int, levels: int) -> Cost:
    """One shape, from its code to triangles."""
    inside = 0.0

    def asked(places: torch.Tensor) -> torch.Tensor:
        nonlocal inside
        began = time.process_time()
        values = field.at(places)
        inside += time.process_time() - began
        return values

    began, wall = time.process_time(), time.perf_counter()
    found = mise(asked, 1, half=field.half, coarse=coarse, levels=levels, level=float(field.level[0]), strict=False)
    spent = time.process_time() - began, time.perf_counter() - wall, inside
    return Cost(*(1000 * s for s in spent), int(found.queries[0]), len(found.meshes[0].faces))


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkpoint", type=Path)
    arguments.add_argument("--data", type=Path, default=None, help="folder of the dataset; the checkpoint's own")
    arguments.add_argument("--shapes", type=int, default=8)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    module = load_module(options.checkpoint)
    fields = []
    for sample in test_views([module], options.data, options.shapes):
        with torch.inference_mode():
            fields.append(module(default_collate([sample])).detach())
    codes = [replace(f, level=f.level.clone(), known=tuple(k.clone() for k in f.known), queries=None) for f in fields]
    decoder = codes[0].decoder
    print(f"{type(decoder).__name__}, {sum(p.numel() for p in decoder.parameters()):,} parameters, {len(codes)} shapes")
    for name, coarse, levels in (("dense", 32, 0), ("MISE", 32, 1), ("dense", 64, 0), ("MISE", 32, 2)):
        measured(codes[0], coarse, levels)  # once for the first touch of memory
        found = [measured(field, coarse, levels) for field in codes]
        middle = [float(np.median(column)) for column in zip(*found, strict=True)]
        cells = coarse * 2**levels
        print(f"{cells:4} cells, {name:5}: {middle[0]:5.0f} ms of the processor (slowest {max(found)[0]:.0f}), "
              f"{middle[1]:5.0f} of the wall, {middle[2]:5.0f} in the decoder; {middle[3]:,.0f} of "
              f"{(cells + 1) ** 3:,} places asked; {middle[4]:,.0f} triangles")  # fmt: skip


if __name__ == "__main__":
    main()
