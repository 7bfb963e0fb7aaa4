"""The saved workspace, without an account: what it would hold, that it names what runs log."""

import json

import pytest
from omegaconf import OmegaConf

from lit3d.build import plain
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.reporting import workspace


def made(*overrides):
    return workspace.make(plain(compose("dashboard", list(overrides))))


def found(node, key):
    """Every value of a key, wherever it stands."""
    if isinstance(node, dict):
        yield from ([node[key]] if key in node else [])
        for child in node.values():
            yield from found(child, key)
    elif isinstance(node, list):
        for child in node:
            yield from found(child, key)


def test_a_dry_run_says_what_it_would_create(monkeypatch, capsys):
    from lit3d.dashboard import task

    monkeypatch.setattr(workspace, "save", lambda _: pytest.fail("sent"))
    task(compose("dashboard", ["dry_run=true", "entity=me", "project=p", "grouped=true"]))
    said = capsys.readouterr().out
    assert said.startswith("Workspace 'lit3d' in me/p: runs by Group, by trainer/global_step")
    for line in ("  Scores by model\n", "  Scores by loss\n", "test/emd, by labels.loss", "val/fscore_5pct, by name",
                 "MediaBrowser             test/clouds", "SummaryTable             test/table",
                 "ParallelCoordinatesPlot  config and scores: labels.model, labels.loss"):  # fmt: skip
        assert line in said
    assert said.endswith("Nothing was sent; json=true prints what would be\n")


def test_what_would_be_sent_names_what_runs_log():
    """Groups and axes are keys of a run's config, where W&B puts `value` behind the first part of a nested one."""
    spec = json.loads(workspace.as_json(made()))
    config = compose("run", ["paths.output=x"])
    accessors = set(found(spec, "accessor"))
    keys = {a.removeprefix("config:") for a in accessors if a.startswith("config:")} | set(found(spec, "groupBy"))
    for key in keys - {""}:
        head, _, rest = key.partition(".value")
        assert OmegaConf.select(config, head + rest) is not None, key
    assert {"labels.value.model", "labels.value.loss"} <= keys
    logged = {"fscore_5pct", "fscore_1pct", "chamfer_l1", "emd"}
    assert {a for a in accessors if a.startswith("summary:")} == {f"summary:test/{name}" for name in logged}
    inverted = {c["accessor"] for part in found(spec, "columns") for c in part if c.get("inverted")}
    assert inverted == {"summary:test/chamfer_l1", "summary:test/emd"}  # up is better on every axis
    assert [s["name"] for s in next(found(spec, "sections"))][-1] == "Everything at once"


def test_another_split_is_shown():
    assert "summary:val/emd" in workspace.as_json(made("split=val"))


def test_mistakes_are_sentences(monkeypatch):
    monkeypatch.setattr(workspace, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'lit3d\[dashboard\]'"):
        made()
    monkeypatch.undo()

    class Refused:
        entity = "me"

        def save(self):
            raise RuntimeError("no key")

    with pytest.raises(UserError, match=r"did not take the workspace \(RuntimeError: no key\).*dry_run=true"):
        workspace.save(Refused())
