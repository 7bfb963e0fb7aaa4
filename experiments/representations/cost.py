"""What a prediction costs an engineer: milliseconds on one thread, memory, size and closedness of what comes out."""

import contextlib
import ctypes
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch.utils.data import default_collate

from experiments.scores import Row

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PASSED = 3  # images of the pass that memory is read from


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch and numba on one thread, as another process beside would leave them."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def batch_of(module: Any, sample: Mapping[str, Any]) -> dict[str, Any]:
    """What the network reads of one sample, as a batch."""
    return default_collate([{key: sample[key] for key in module.reads if key in sample}])  # type: ignore[no-any-return]


def timed(module: Any, batch: Mapping[str, Any]) -> tuple[Any, Any, float, float]:
    """Prediction, what would be exported, milliseconds of the network and of both together."""
    began = time.perf_counter()
    with torch.inference_mode():
        prediction = module(batch)
        predicted = time.perf_counter()
        shape = prediction.to_trimesh(0)
    ended = time.perf_counter()
    return prediction, shape, 1e3 * (predicted - began), 1e3 * (ended - began)


def measure(module: Any, samples: Sequence[Mapping[str, Any]]) -> Row:
    """Medians over images, one at a time on one thread in float32, the surface extracted; the weights' own size.

    `watertight`: share of predictions whose triangles close; NaN of points. `memory_mb` leaves out what was there
    before: libraries and weights. What a field's network does is counted where its surface is extracted.
    """
    batches, rows = [batch_of(module, sample) for sample in samples], []
    with one_thread():
        timed(module, batches[0])  # kernels are compiled
        for batch in batches:
            prediction, shape, network, both = timed(module, batch)
            rows.append({"ms_network": network, "ms": both} | size(shape, prediction.capacity is not None))
        memory = grown(lambda: [timed(module, batch) for batch in batches[:PASSED]])
    medians = {k: float(np.median([r[k] for r in rows])) for k in rows[0] if k != "watertight"}
    count = sum(p.numel() for p in module.network.parameters())
    weights = sum(p.numel() * p.element_size() for p in module.network.parameters()) / 2**20
    closed = float(np.mean([r["watertight"] for r in rows]))
    return medians | {"watertight": closed, "parameters": count, "weights_mb": weights, "memory_mb": memory}


def size(shape: Any, points_only: bool) -> Row:
    """Points, triangles, bytes of a .ply, and whether it is closed; an empty surface is not."""
    faces = getattr(shape, "faces", np.zeros((0, 3)))
    written = len(shape.export(file_type="ply")) if len(shape.vertices) else 0
    closed = math.nan if points_only else float(len(faces) > 0 and shape.is_watertight)
    return {"points": len(shape.vertices), "triangles": len(faces), "ply_bytes": written, "watertight": closed}


def grown(work: Any) -> float:
    """MB by which this process is larger at its largest during `work` than before; NaN where Linux does not say."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier predictions left would hide what this one takes
        RESET.write_text("5", encoding="ascii")
        before = _kilobytes("VmRSS")
        work()
        return (_kilobytes("VmHWM") - before) / 2**10
    except (OSError, AttributeError, StopIteration):
        return math.nan


def _kilobytes(name: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
