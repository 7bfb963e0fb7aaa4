"""What a training step is made of, and what Lightning's loop adds to it.

    python -m experiments.speed.training                      # the default run: pointset, cd, grammar
    python -m experiments.speed.training loss=emd --steps 100
    python -m experiments.speed.training model=depth 'loss=[l1,depth_normal]'

Any override of `python -m lit3d.run` is taken, of models whose losses read what the network gives: points, depth.
Claims: loss, data and logging together take under 35 % of a step, and the run with all its callbacks and loggers is at
most 5 % slower than a bare loop over the same step. Both hold for points with trainer.precision=32-true; mixed bfloat16
shrinks only the network's share, and then the first does not hold for points (40 %; it does for depth, 27 %), and the
second just fails (5.3 %; depth 5.1 %), 2026-11-23 and 26. The loops take turns, several rounds each, because other
programs disturb any single figure: medians are printed.
"""

import argparse
import dataclasses
import tempfile
import time
from collections import defaultdict
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from lit3d.build import build_module, instantiate, plain
from lit3d.config import compose

WARM_UP = 10


class StepTimes(pl.Callback):
    """Wall time between the ends of training steps."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def bare_loop(config: dict[str, Any], data: Any, steps: int, split: bool) -> dict[str, list[float]]:
    """Seconds of each part of each step, without Lightning; `step` is the whole.

    `split` runs the terms' backward apart from the network's, to time it: a little more work than a step has. The
    fair partner of Lightning's loop is the loop without it.
    """
    module = build_module(config)
    module.train()
    optimizer = module.optimizer(module.parameters())
    scheduler = module.scheduler(optimizer, total_steps=steps + WARM_UP)
    clip = config["trainer"]["gradient_clip_val"]
    mixed = str(config["trainer"]["precision"]).startswith("bf16")
    times: dict[str, list[float]] = defaultdict(list)
    batches = endless(data)
    for _ in range(steps + WARM_UP):
        marks = [time.perf_counter()]

        def mark(name: str, marks: list[float] = marks) -> None:
            marks.append(time.perf_counter())
            times[name].append(marks[-1] - marks[-2])

        batch = next(batches)
        mark("data")
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            prediction = module(batch)
        mark("forward")
        if split and getattr(prediction, "stages", ()):  # terms read earlier blocks, too, which are not cut
            loss, _parts = module.objective(prediction, batch)
            mark("loss")  # forward alone
            loss.backward()
            mark("backward")
        elif split:
            cut = {n: v for n, v in vars(prediction).items() if n in prediction.tensors and v is not None}
            outputs = {n: v.detach().requires_grad_() for n, v in cut.items()}
            loss, _parts = module.objective(dataclasses.replace(prediction, **outputs), batch)
            loss.backward()
            mark("loss")  # forward and backward of the terms alone
            read = [n for n, o in outputs.items() if o.grad is not None]
            torch.autograd.backward([cut[n] for n in read], [outputs[n].grad for n in read])
            mark("backward")
        else:
            module.objective(prediction, batch)[0].backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        mark("optimizer")
        times["step"].append(marks[-1] - marks[0])
    return {k: v[WARM_UP:] for k, v in times.items()}


def endless(data: Any) -> Any:
    """Batches of the training loader, epoch after epoch."""
    loader = data.train_dataloader()
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def lightning_loop(config: dict[str, Any], data: Any, steps: int) -> list[float]:
    """Seconds of each step of the real trainer with the run's callbacks and loggers; no validation."""
    module = build_module(config)
    times = StepTimes()
    callbacks = [instantiate(node) for name, node in config["callbacks"].items() if name not in ("results", "media")]
    loggers = [instantiate(node) for node in config["logger"].values()]
    node = config["trainer"] | {"max_steps": steps + WARM_UP, "limit_val_batches": 0, "val_check_interval": 10**9}
    trainer = instantiate(node, callbacks=[*callbacks, times], logger=loggers)
    trainer.fit(module, datamodule=data)
    return np.diff(times.ends)[WARM_UP - 1 :].tolist()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for python -m lit3d.run")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        cfg = compose("run", [*arguments.overrides, f"paths.output={folder}", "logger=csv"])
        OmegaConf.resolve(cfg)
        config = plain(cfg)
        data, module = instantiate(config["data"], seed=0), build_module(config)
        data.need([*module.reads, *(key for term in module.terms for key in term.targets)], module.scored)
        data.make()
        data.setup()
        bare: dict[str, list[float]] = defaultdict(list)
        whole: list[float] = []
        for _ in range(arguments.rounds):
            for name, values in bare_loop(config, data, arguments.steps, split=True).items():
                bare[name] += values
            bare["whole step"] += bare_loop(config, data, arguments.steps, split=False)["step"]
            whole += lightning_loop(config, data, arguments.steps)
    report({k: float(np.median(v)) for k, v in bare.items()}, float(np.median(whole)))


def report(parts: dict[str, float], whole: float) -> None:
    """The parts of a step, and the ratio of the loops."""
    table = Table(title=f"one step, median, {torch.get_num_threads()} threads", title_justify="left")
    table.add_column("part")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for name, seconds in parts.items():
        table.add_row(name, f"{1e3 * seconds:.1f}", f"{seconds / parts['step']:.0%}")
    table.add_row("Lightning's step", f"{1e3 * whole:.1f}", f"{whole / parts['step']:.0%}")
    logging = max(0.0, whole - parts["whole step"])
    Console().print(table)
    share = (parts["data"] + parts["loss"] + logging) / whole
    print(f"loss + data + logging: {share:.0%} of Lightning's step (claim: under 35 %)")
    print(f"Lightning's loop: {whole / parts['whole step'] - 1:+.1%} against the bare loop (claim: at most +5 %)")


if __name__ == "__main__":
    main()
