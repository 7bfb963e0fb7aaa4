"""What goes wrong from outside: full disks, files of strangers. docs/reliability.md lists all promises."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lit3d import evaluate, predict
from lit3d.build import load_module
from lit3d.callbacks import save_whole
from lit3d.callbacks.last import disk_is_full
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.resume import find
from lit3d.training import train

sys.path.insert(0, str(Path(__file__).parent / "synthesis"))

from boxes import SMALL, BoxSource


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB; it can grow."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size, *options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "none", folder],
                              capture_output=True).returncode  # fmt: skip

    if mount("4m"):
        pytest.skip("no right to mount a small disk")
    yield folder, lambda size: mount(size, "remount")
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint_whole(small_disk):
    folder, grow = small_disk
    path = folder / "checkpoints" / "last.ckpt"
    save_whole({"step": 1, "weights": torch.zeros(700_000)}, path)
    with pytest.raises((OSError, RuntimeError)) as caught:
        save_whole({"step": 2, "weights": torch.ones(700_000)}, path)
    assert disk_is_full(caught.value)
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    assert torch.load(path, weights_only=True)["step"] == 1
    grow("9m")
    save_whole({"step": 2, "weights": torch.ones(700_000)}, path)
    assert torch.load(path, weights_only=True)["step"] == 2


@pytest.mark.slow
def test_a_run_on_a_full_disk_says_so_and_goes_on_once_there_is_room(small_disk, datasets):
    folder, grow = small_disk
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={folder}/run", "callbacks.media=null",
                 "test=false", "callbacks.last.every=2", "callbacks.checkpoint=null"]  # fmt: skip
    with pytest.raises(UserError, match=r"the disk of .* is full; free some space, then go on with resume="):
        train(compose("run", overrides))
    grow("200m")
    train(compose("run", overrides))
    assert json.loads((folder / "run" / "status.json").read_text())["status"] == "finished"


def digest(root):
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_synthesis_on_a_full_disk_continues_to_the_bytes_of_an_undisturbed_run(small_disk, tmp_path):
    from lit3d.synthesis.pipeline import synthesize

    folder, grow = small_disk
    settings = replace(SMALL, points=20_000)
    synthesize(BoxSource(20), tmp_path / "whole", settings)
    with pytest.raises(UserError, match="the disk is full. Free some space and run the same command again"):
        synthesize(BoxSource(20), folder / "d", settings)
    assert not (folder / "d" / "dataset.json").exists()
    grow("100m")
    synthesize(BoxSource(20), folder / "d", settings)
    assert digest(folder / "d") == digest(tmp_path / "whole")


# --- files of strangers -----------------------------------------------------------------------------------------------


class Payload:
    """What unpickling would run."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def users(path, tmp_path):
    """Everything that opens a checkpoint."""
    run = ["debug=tiny", f"resume={path}", f"paths.output={tmp_path}/o"]
    return {
        "load": lambda: load_module(path),
        "predict": lambda: predict.task(compose("predict", [f"checkpoint={path}", f"image={path}"])),
        "evaluate": lambda: evaluate.task(compose("evaluate", [f"checkpoint={path}", f"paths.output={tmp_path}/e"])),
        "find": lambda: find({"resume": str(path), "paths": {"output": str(tmp_path / "o")}, "name": "x"}),
        "resume": lambda: train(compose("run", run)),
    }


def test_a_pickled_payload_is_never_unpickled(trained, tmp_path):
    mark = tmp_path / "executed"
    for place, opens in (("lit3d", users("", "")), ("state_dict", ("load", "find")), ("extra", ("load", "find"))):
        saved = torch.load(trained, weights_only=True)
        saved[place] = Payload(mark)
        path = tmp_path / place / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        torch.save(saved, path)
        for name in opens:
            with pytest.raises(UserError):
                users(path, tmp_path)[name]()
            assert not mark.exists()


@pytest.mark.parametrize("target", ["os.mkdir", "torch.load", "torch.hub.load", "builtins.exec", "lit3d.build.torch"])
def test_code_named_in_a_checkpoint_is_never_run(trained, tmp_path, target):
    mark = tmp_path / "executed"
    node = {"_target_": target, "_args_": [str(mark)], "path": str(mark)}

    def network(entry):
        entry["config"]["model"]["network"] = node

    def listed(entry):
        entry["config"]["model"]["network"]["inner"] = [1, {"deep": [node]}]

    def optimizer(entry):
        entry["config"]["model"]["optimizer"] = node

    def loss(entry):
        entry["config"]["loss"]["cd"] = node

    def rebuilt(entry):
        entry["rebuild"] = {"encoder": node}

    def interpolated(entry):
        inner = f"${{oc.create:'{{_target_: {target}, path: {mark}, f: {mark}}}'}}"
        entry["config"]["model"]["network"]["inner"] = [{"_target_": "torch.optim.AdamW", "params": inner}]

    for number, spoil in enumerate((network, listed, optimizer, loss, rebuilt, interpolated)):
        saved = torch.load(trained, weights_only=True)
        spoil(saved["lit3d"])
        path = tmp_path / f"{number}.ckpt"
        torch.save(saved, path)
        for name in ("load", "predict", "evaluate") if (target, number) == ("os.mkdir", 0) else ("load",):
            with pytest.raises(UserError):
                users(path, tmp_path)[name]()
            assert not mark.exists()


def test_data_named_in_a_checkpoint_is_checked_before_an_evaluation_makes_it(trained, tmp_path):
    mark = tmp_path / "executed"
    saved = torch.load(trained, weights_only=True)
    saved["lit3d"]["config"]["data"]["source"] = {"_target_": "os.mkdir", "_args_": [str(mark)]}
    path = tmp_path / "data.ckpt"
    torch.save(saved, path)
    with pytest.raises(UserError, match=r"names the code 'os\.mkdir'"):
        users(path, tmp_path)["evaluate"]()
    assert not mark.exists()


def test_weights_of_another_model_or_version_are_refused_with_a_reason(trained, tmp_path):
    saved = torch.load(trained, weights_only=True)
    path = tmp_path / "other.ckpt"
    torch.save(saved | {"lit3d": saved["lit3d"] | {"format": 999}}, path)
    with pytest.raises(UserError, match=r"format \d+ is expected, 999 found"):
        load_module(path)
    spoilt = {k: v[:1] if v.ndim else v for k, v in saved["state_dict"].items()}
    torch.save(saved | {"state_dict": spoilt}, path)
    with pytest.raises(UserError, match="the weights do not fit the config stored with them"):
        load_module(path)


@pytest.mark.parametrize("overrides", [
    ["+data.x=[{_target_:os.mkdir,_args_:[${mark}]}]"], ["callbacks.last._target_=torch.hub.load"],
    ["+a=${b}", "+b={_target_:os.mkdir,_args_:[${mark}]}"], ["+trainer.plugins=[[{_target_:torch.load,f:${mark}}]]"],
    ["loss.cd._target_=lit3d.build.load_module"],
    [r"+trainer.plugins=[{_target_:torch.optim.AdamW,params:'\${oc.create:\'{_target_: os.mkdir, path: ${mark}}\'}'}]"],
])  # fmt: skip
def test_code_named_in_a_config_is_never_run(tmp_path, overrides):
    mark = tmp_path / "executed"
    cfg = compose("run", ["debug=tiny", f"+mark={mark}", f"paths.output={tmp_path}/run", *overrides])
    with pytest.raises(UserError, match="names the code"):
        train(cfg)
    assert not mark.exists()
