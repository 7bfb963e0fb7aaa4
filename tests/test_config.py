import subprocess
import sys
import time

import pytest

from lit3d import config
from lit3d.config import composition_mistake, groups, help_text


def compose_error(*overrides):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the kind is Hydra's business, the sentence is ours
        config.compose("run", list(overrides))
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    return composition_mistake("run", caught.value)


def test_help_lists_every_group_and_option_with_a_line():
    text = help_text("run")
    for group, options in groups().items():
        assert f"  {group}\n" in text
        for path in options:
            line = next(line for line in text.splitlines() if line.strip().split(" ")[0] == path.stem)
            assert len(line.split(None, 1)) == 2, f"{path} has no first comment"


def test_help_is_answered_without_loading_anything_heavy():
    code = "import sys; sys.argv = ['run', '--help']; import lit3d.run as r; r.main(); " \
           "assert not {'torch', 'hydra', 'numpy'} & set(sys.modules)"  # fmt: skip
    began = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Groups (group=option)" in out.stdout
    assert time.monotonic() - began < 5  # 0.1 s on an idle machine


def test_unknown_options_and_keys_get_a_suggestion():
    assert "Did you mean 'pointset'" in compose_error("model=pointst")
    assert "Did you mean 'silog'? Known: " in compose_error("loss=sillog")
    assert "trainer.max_steps" in compose_error("trainer.max_stps=3")
    assert "'modl' is not a key or group" in compose_error("modl=pointset")


@pytest.mark.parametrize("name", ["run", "synthesize", "predict", "evaluate", "report", "dashboard"])
def test_every_application_composes(name):
    assert config.compose(name)


@pytest.mark.parametrize(
    ("overrides", "terms"),
    [
        ([], ["cd"]),
        (["loss=emd"], ["emd"]),
        (["loss=cd_emd", "loss.emd.weight=0.5"], ["cd", "emd"]),
        (["loss=[cd,l2_ordered]"], ["cd", "l2_ordered"]),
        (["loss=[l1,depth_normal]", "loss.depth_normal.weight=0.1"], ["l1", "depth_normal"]),
        (["loss=[cd_l1,sinkhorn]", "loss.sinkhorn.blur=0.1"], ["cd_l1", "sinkhorn"]),
    ],
)
def test_losses_compose_as_named_terms(overrides, terms):
    cfg = config.compose("run", overrides)
    assert list(cfg.loss) == terms
    if "loss.emd.weight=0.5" in overrides:
        assert cfg.loss.emd.weight == 0.5


def test_debug_wins_over_everything():
    cfg = config.compose("run", ["debug=tiny", "data=furniture", "model=pointset"])
    assert cfg.trainer.max_steps < 20
    assert "wandb" not in cfg.logger


@pytest.mark.parametrize(("steps", "interval"), [(3300, 660), (1000, 200), (1003, 200), (3, 1), (-1, 660)])
def test_validation_sees_the_last_weights_whatever_the_number_of_steps(steps, interval):
    cfg = config.compose("run", [f"trainer.max_steps={steps}"])
    assert cfg.trainer.val_check_interval == interval
