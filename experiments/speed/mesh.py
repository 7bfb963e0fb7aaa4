"""Claim: a training step of model=mesh_deform at batch 16, 64 pixels, three blocks takes under 1.0 s on two cores.

    python -m experiments.speed.mesh                                   # beside the default pointset step
    python -m experiments.speed.mesh model.network.width=96 --steps 20

Forward, all terms and backward, optimizer, on random images and points: no dataset is needed. Both models take turns;
the least of each is printed, wall time and CPU time of all threads (which other programs on the machine disturb less).
"""

import argparse
import time
from collections.abc import Callable

import torch

from lit3d.build import build_module, plain
from lit3d.config import compose
from lit3d.modules import ReconstructionModule

BATCH, POINTS, SIZE = 16, 1024, 64


def step_of(overrides: list[str]) -> tuple[Callable[[], None], ReconstructionModule]:
    config = plain(compose("run", [*overrides, "paths.output=."]))
    module = build_module(config).train()
    draw = torch.Generator().manual_seed(0)
    normals = torch.randn(BATCH, POINTS, 3, generator=draw)
    batch = {
        "image": torch.rand(BATCH, 3, SIZE, SIZE, generator=draw),
        "points": torch.rand(BATCH, POINTS, 3, generator=draw) - 0.5,
        "point_normals": normals / normals.norm(dim=2, keepdim=True),
    }
    optimizer = module.optimizer(module.parameters())
    mixed = str(config["trainer"]["precision"]).startswith("bf16")

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            prediction = module(batch)
        module.objective(prediction, batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, module


def main() -> None:
    """Print both models' seconds a step and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    known, overrides = parser.parse_known_args()
    models = {"pointset": ["model=pointset"], "mesh_deform": ["model=mesh_deform", *overrides]}
    steps = {name: step_of(chosen) for name, chosen in models.items()}
    best = {name: [float("inf")] * 2 for name in models}
    for _ in range(known.steps + 2):
        for name, (step, _module) in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            spent = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = [min(pair) for pair in zip(best[name], spent, strict=True)]
    for name, (wall, cpu) in best.items():
        count = sum(p.numel() for p in steps[name][1].parameters())
        print(f"{name:12} {wall:.3f} s a step, {cpu:.3f} s of CPU, {count:,} weights")
    print(f"threads      {torch.get_num_threads()}")
    print(f"ratio        {best['mesh_deform'][0] / best['pointset'][0]:.1f} wall, "
          f"{best['mesh_deform'][1] / best['pointset'][1]:.1f} CPU")  # fmt: skip


if __name__ == "__main__":
    main()
