import pytest

from lit3d import trust
from lit3d.config import compose, groups
from lit3d.errors import UserError


@pytest.mark.parametrize(
    "target",
    [
        "os.system", "posix.system", "builtins.eval", "subprocess.run", "torch.load", "torch.hub.load", "numpy.load",
        "lit3d.build.load_module", "lit3d.losses.terms.np.load", "lit3d.losses.Term.__init__.__globals__", "lit3d",
        "lit3d.data.datamodule.np.load", "lit3d.callbacks.results.subprocess.run", "", 3, None, ["os.system"],
        "lit3dx.losses.cd", "pytorch_lightning.loggers.CSVLogger.save", "torch.optim",
        "pytorch_lightning.loggers.mlflow.os.system", "lit3d.callbacks.show.find_spec",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["top", "deep", "list"])
def test_foreign_code_is_refused_wherever_it_hides(target, place):
    node = {"_target_": target}
    config = {"top": node, "deep": {"a": {"b": {"c": node}}}, "list": {"a": [1, {"_args_": [[node]]}]}}[place]
    with pytest.raises(UserError, match="may not run|there is no"):
        trust.check(config)


@pytest.mark.parametrize("target", [
    "lit3d.losses.cd", "lit3d.networks.PointSetNet", "torch.optim.AdamW", "lit3d.callbacks.mlflow_logger",
    "pytorch_lightning.loggers.TensorBoardLogger", "pytorch_lightning.loggers.MLFlowLogger",
])  # fmt: skip
def test_own_parts_and_the_list_are_allowed(target):
    trust.check({"a": [{"_target_": target}]})


def test_a_package_is_trusted_by_name_alone():
    node = {"_target_": "mypkg.losses.best"}
    trust.check(node, ["mypkg"])
    with pytest.raises(UserError, match="lit3d.trust"):
        trust.check(node, ["myp"])
    with pytest.raises(UserError, match="may not run"):
        trust.check({"_target_": "lit3d.build.plain"}, ["lit3d"])


def test_interpolation_does_not_hide_a_target():
    from lit3d.build import plain

    cfg = compose("run", ["+evil=os.system", "+data.x={_target_: '${evil}'}", "paths.output=x"])
    with pytest.raises(UserError, match=r"data\.x names the code 'os\.system'"):
        trust.check(plain(cfg))


HIDDEN = "{_target_: os.mkdir, path: MARK}"


@pytest.mark.parametrize("text", [f"${{oc.create:'{HIDDEN}'}}", f"${{oc.decode:'{HIDDEN}'}}", "${oc.env:A}", "a ${b}"])
@pytest.mark.parametrize("place", ["argument", "list", "deep"])
def test_an_interpolation_that_is_left_would_be_resolved_into_code_later(text, place, tmp_path):
    """Hydra resolves what it is given: the first of these made a folder in the midst of building an optimizer."""
    text = text.replace("MARK", str(tmp_path / "executed"))
    inner = {"argument": text, "list": [1, [text]], "deep": {"a": {"b": text}}}[place]
    node = {"_target_": "torch.optim.AdamW", "params": {"_target_": "torch.optim.AdamW", "params": inner}}
    with pytest.raises(UserError, match="resolved only after this check"):
        trust.check({"model": {"optimizer": node}})
    assert not (tmp_path / "executed").exists()


def test_every_default_config_is_trusted():
    from lit3d.build import plain

    loggers = "logger=[csv,wandb,tensorboard,mlflow]"
    tried = ("model", "model/encoder", "model/head", "model/scheduler", "callbacks")
    parts = [[f"{group}={path.stem}"] for group in tried for path in groups()[group]]
    terms = ",".join(path.stem for path in groups()["model/regularisers"])
    parts += [["model=mesh_deform", f"model/regularisers=[{terms}]"]]
    parts += [["model=mesh_deform", f"model/template={t}"] for t in ("sphere", "torus")]
    for overrides in ([], ["data=furniture"], ["data=folder", "data.source.root=x"], [loggers], *parts):
        overrides = [*overrides, "model.encoder.source=x"] if overrides == ["model/encoder=hub"] else overrides
        trust.check(plain(compose("run", [*overrides, "paths.output=x"])))
