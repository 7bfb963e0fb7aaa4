"""python -m lit3d.warm_up: compile all CPU kernels once, so that the first run does not wait for them."""

import time

import numpy as np
import torch


def warm_up() -> None:
    """Call every kernel on something small, through the functions that use it; their code is cached on disk."""
    from lit3d import ops
    from lit3d.data.augment import composite
    from lit3d.ops.kernels.triangles import self_intersecting
    from lit3d.synthesis import GrammarSource, SynthesisSettings
    from lit3d.synthesis.pipeline import object_generator, render_object

    rng = np.random.default_rng(0)
    sets = torch.from_numpy(rng.random((2, 1, 600, 3), dtype=np.float32))
    for precision in (torch.float32, torch.float64):
        few, many = (torch.from_numpy(rng.random((2, 1, n, 3))).to(precision).requires_grad_() for n in (600, 2000))
        ops.chamfer(*few).sum().backward()
        ops.chamfer(*many).sum().backward()
    ops.match(*sets, state=ops.match(*sets, certify=True))
    ops.match(*sets[:, :, :200])  # the tests that tell a small blob
    for p in (1, 2):
        ops.sinkhorn(sets[0].requires_grad_(), sets[1], p=p).sum().backward()
    self_intersecting(rng.random((6, 3)), np.arange(6).reshape(2, 3))
    source = GrammarSource(1, categories=["mug"])
    settings = SynthesisSettings(image_size=32, views=1, points=100, shadows=True)
    record = render_object(source.load(source.items()[0]), settings, object_generator(0, "a"))
    composite(record.views[0].image, np.ones(3, np.float32))


if __name__ == "__main__":
    began = time.monotonic()
    print("compiling kernels, once: up to a minute", flush=True)
    warm_up()
    print(f"kernels are ready ({time.monotonic() - began:.0f} s)")
