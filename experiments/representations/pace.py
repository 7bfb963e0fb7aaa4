"""How many optimiser steps fit into so many seconds: representations compared after the same time, not steps.

A schedule must know its last step when it starts, and a run that a clock cuts off would end at a high learning rate. So
the pace of each representation is measured first, and the steps are counted out from it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.runs import run_once
from lit3d.callbacks.metrics_file import read_times
from lit3d.callbacks.results import write_atomically

MEASURED, WARM_UP = 40, 10  # steps; kernels are compiled in the first ones
KEPT = "pace.json"


def pace(overrides: Sequence[str], folder: Path) -> float:
    """Median seconds of a training step, loading included, validation and checkpoints not."""
    short = (f"trainer.max_steps={MEASURED}", "+trainer.limit_val_batches=0", "trainer.log_every_n_steps=1",
             "trainer.val_check_interval=null", "test=false", "logger=csv", "callbacks.media=null")  # fmt: skip
    times = read_times(run_once([*overrides, *short], folder))
    return float(np.median(np.diff([times[step] for step in sorted(times)])[WARM_UP:]))


def paces(variants: Mapping[str, Sequence[str]], overrides: Sequence[str], folder: Path) -> dict[str, float]:
    """Seconds a step of each variant; what <folder>/pace.json knows is not measured again, so seeds get equal steps."""
    path = folder / KEPT
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in (v for v in variants if v not in found):
        found[name] = pace([*variants[name], *overrides], folder / "pace" / name)
        write_atomically(path, json.dumps(found, indent=1) + "\n")
    return {name: found[name] for name in variants}


def in_seconds(
    variants: Mapping[str, Sequence[str]], seconds: float, overrides: Sequence[str], folder: Path
) -> dict[str, tuple[str, ...]]:
    """The variants with as many steps each as take `seconds`."""
    steps = {name: max(1, round(seconds / each)) for name, each in paces(variants, overrides, folder).items()}
    print(f"steps in {seconds:g} s: " + ", ".join(f"{name} {count}" for name, count in steps.items()), flush=True)
    return {name: (*variants[name], f"trainer.max_steps={count}") for name, count in steps.items()}
