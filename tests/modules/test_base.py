"""What every module does with its trainer."""

from types import SimpleNamespace

import pytest

from lit3d.build import build_module, plain
from lit3d.config import compose


@pytest.mark.parametrize(("scaler", "fused"), [(None, True), (object(), False)])
def test_with_a_loss_scaler_the_step_is_not_fused_so_that_gradients_can_be_clipped(scaler, fused):
    module = build_module(plain(compose("run", ["model=pointset", "paths.output=unused"])))
    trainer = SimpleNamespace(scaler=scaler, estimated_stepping_batches=10)
    module.trainer = trainer
    optimizer = module.configure_optimizers()["optimizer"]
    assert optimizer.defaults["fused"] is fused
    # What Lightning asks before it clips: an optimizer that takes the scale off itself is refused.
    assert getattr(optimizer, "_step_supports_amp_scaling", False) is fused
