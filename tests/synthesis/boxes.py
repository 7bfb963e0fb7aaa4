"""Boxes as a mesh source, in a module of their own: worker processes import it, and it should not cost them much."""

import os
import signal
import time
from dataclasses import replace

import numpy as np

from lit3d.synthesis.pipeline import SynthesisSettings
from lit3d.synthesis.shape import Shape, UnusableMeshError
from lit3d.synthesis.sources.items import Item
from lit3d.synthesis.store import DatasetBuilder
from lit3d.synthesis.store.files import StorageError

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
TRIANGLES = np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))])
SMALL = SynthesisSettings(image_size=16, views=2, points=50, samples=1, workers=1)


def box(sides=(1.0, 2.0, 0.5)) -> Shape:
    colours = np.tile(np.array([[0.8, 0.3, 0.2]], np.float32), (12, 1))
    return Shape(CORNERS * sides, TRIANGLES, colours, np.repeat([0, 1], 6).astype(np.int32), ("sides", "ends"),
                 {"height": sides[1]})


class BoxSource:
    """Boxes, and between them meshes that cannot be used; `deadly` names one that takes its process along."""

    name = "boxes"

    def __init__(self, count: int = 6, deadly: str = "", backwards: bool = False):
        self.count, self.deadly, self.backwards = count, deadly, backwards

    def items(self):
        names = [f"box-{n}" for n in range(self.count)] + ["box-3-unreadable", "box-1-empty", "box-2-nan", "box-4-dot"]
        found = [Item(name, "box", "test" if name == "box-1" else "train", {"creator": "me"}) for name in names]
        return found[::-1] if self.backwards else found

    def load(self, item):
        if item.object == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        mesh = box((1.0, 1.0 + int(item.object[4]), 0.5))
        if item.object.endswith("unreadable"):
            raise UnusableMeshError("cannot be\nread")
        if item.object.endswith("empty"):
            return replace(mesh, faces=mesh.faces[:0])
        if item.object.endswith("nan"):
            return replace(mesh, vertices=mesh.vertices * np.nan)
        return replace(mesh, vertices=mesh.vertices * 0) if item.object.endswith("dot") else mesh

    def attribution(self):
        return None

    def fingerprint(self):
        return {"boxes": str(self.count)}

    def skipped(self):
        return [("rug", "flat")]


def double(factor: int, task: int) -> int:
    if task == 3:
        raise ValueError("three")
    if task == 4:
        time.sleep(60)
    if task == 5:
        raise MemoryError
    if task == 99:
        raise StorageError("disk full")
    return factor * task


def hold(root, plan, ready, release) -> None:
    with DatasetBuilder(root, plan):
        ready.set()
        release.wait(30)
