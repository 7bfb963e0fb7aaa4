"""torch.compile: in a process of its own, because the shape checks of the other tests cannot be traced."""

import subprocess
import sys

import pytest

CODE = """
import torch
from lit3d import ops

g = torch.Generator().manual_seed(0)
x, y = torch.rand(2, 300, 3, generator=g), torch.rand(2, 300, 3, generator=g)
for distance in (ops.chamfer, ops.emd, ops.sinkhorn, ops.sliced_wasserstein):
    def loss(a, b, distance=distance):
        return distance(2 * a, b) + 1
    results = []
    for function in (loss, torch.compile(loss, backend="aot_eager")):
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        value = function(a, b)
        value.sum().backward()
        results.append((value.detach(), a.grad, b.grad))
    for eager, compiled in zip(*results):
        torch.testing.assert_close(eager, compiled)
    print("same", end=" ")
"""


@pytest.mark.slow
def test_compiled_distances_have_the_same_values_and_gradients():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["same"] * 4, done.stderr[-2000:]
