"""One tiny run into every kind of logger, read back from their own files: same names, same steps, same pictures."""

import csv
import glob
import json
import sqlite3
import struct
from unittest.mock import patch

import numpy as np
import pytest
import trimesh
from hydra.types import RunMode
from PIL import Image

from lit3d.build import plain
from lit3d.callbacks import Media, MetricsFile, show
from lit3d.callbacks.metrics_file import read_times
from lit3d.config import compose
from lit3d.errors import UserError
from lit3d.training import train


@pytest.fixture(scope="module")
def shown(datasets, tmp_path_factory):
    """The run folder of a run with all loggers, which keeps MLflow's database beside it."""
    root = tmp_path_factory.mktemp("shown")
    train(compose("run", [
        "debug=tiny", f"paths.data={datasets}", f"paths.output={root}/run", "logger=[csv,wandb,tensorboard,mlflow]",
        f"logger.mlflow.tracking_uri=sqlite:///{root}/new/mlflow.db", f"logger.mlflow.artifact_location={root}/art",
        "callbacks.media.shapes=always", "callbacks.media.clouds=2", "callbacks.media.cloud_points=100",
        "callbacks.media.rows=3", "callbacks.results.references=false", "metrics.protocols=[occnet]", "group=together",
    ]))  # fmt: skip
    return root / "run"


def curves(folder):
    """Name -> {step: value} of metrics.csv."""
    found = {}
    with (folder / "metrics.csv").open() as stream:
        for row in csv.DictReader(stream):
            for name, value in row.items():
                if value != "" and name not in ("step", "epoch"):
                    found.setdefault(name, {})[int(row["step"])] = float(value)
    return found


def test_the_step_of_a_score_says_how_many_steps_its_weights_have_behind_them(shown):
    found = curves(shown)
    assert list(found["val/fscore_5pct"]) == [3, 6]
    assert list(found["test/fscore_5pct"]) == [6]
    results = json.loads((shown / "results.json").read_text())
    for name, score in results["test"].items():
        assert found[f"test/{name}"][6] == pytest.approx(score)
    assert found["test_mean_over_classes/occnet/chamfer_l1"][6] > 0


def test_times_say_when_each_step_was_logged(shown):
    times = read_times(shown)
    steps = {step for curve in curves(shown).values() for step in curve}
    assert set(times) == steps
    assert list(times.values()) == sorted(times.values())
    assert 0 < times[6] < 300


def test_times_of_a_resumed_run_go_on_and_damage_is_no_error(tmp_path):
    first = MetricsFile(tmp_path)
    first.began -= 100
    for step in range(5):
        first.log_metrics({"train/loss": 1.0}, step)
    first.save()
    second = MetricsFile(tmp_path)
    second.keep_until(3)
    second.log_metrics({"train/loss": 1.0}, 3)
    second.save()
    times = read_times(tmp_path)
    assert list(times) == [0, 1, 2, 3]
    assert times[3] == pytest.approx(100, abs=5)
    (tmp_path / "times.csv").write_text("step,seconds\n1")
    assert read_times(tmp_path) == {}


# --- files -----------------------------------------------------------------------------------------------------------


def test_shapes_are_named_by_object_and_view_and_stand_upright(shown):
    folder = shown / "media"
    plys = sorted((folder / "test").glob("*.ply"))
    assert len(plys) == 4
    assert {p.stem for p in plys} == {p.stem for p in (folder / "step_000003").glob("*.glb")}
    with (shown / "per_sample.csv").open() as stream:
        assert {f"{r['object']}_view{int(r['view']):02d}" for r in csv.DictReader(stream)} == {p.stem for p in plys}
    cloud = trimesh.load(plys[0])
    scene = trimesh.load(plys[0].with_suffix(".glb"))
    upright = np.asarray(next(iter(scene.geometry.values())).vertices)
    np.testing.assert_allclose(upright, np.asarray(cloud.vertices) * [1, -1, -1], atol=1e-5)
    assert cloud.vertices.shape == (256, 3)
    assert len(np.unique(cloud.colors, axis=0)) > 10
    assert not list(shown.rglob(".*.ply*"))


def test_shapes_can_be_left_out_and_another_word_is_refused(tmp_path):
    with pytest.raises(UserError, match="must be one of never, test, always, got 'sometimes'"):
        Media(tmp_path, shapes="sometimes")


# --- W&B --------------------------------------------------------------------------------------------------------------


def wandb_records(path):
    """The records of a .wandb file: LevelDB's log format (blocks of 32 KiB) after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, part = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            yield record


def wandb_run(folder):
    """What an offline run holds: config, curves name -> {step: value}, summary, its files, its artifacts."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = {"config": {}, "curves": {}, "summary": {}, "files": [], "artifacts": {}, "id": path.stem}
    for record in wandb_records(path):
        kind = record.WhichOneof("record_type")
        part = getattr(record, kind)
        if kind in ("config", "summary"):
            for item in part.update:
                found[kind]["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        elif kind == "history":
            row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in part.item}
            for name, value in row.items():
                found["curves"].setdefault(name, {})[row.get("trainer/global_step")] = value
        elif kind == "run":
            found |= {"name": part.display_name, "group": part.run_group, "tags": list(part.tags)}
        elif kind == "files":
            found["files"] += [path.parent / "files" / file.path for file in part.files]
        elif kind == "artifact":
            found["artifacts"][part.type] = {c.path: c.local_path for c in part.manifest.contents}
    return found


def test_wandb_holds_curves_config_pictures_clouds_table_and_summary(shown):
    run = wandb_run(shown)
    for name, curve in curves(shown).items():
        assert run["curves"][name] == pytest.approx(curve), name
    assert run["config"]["model"]["points"] == 256
    assert run["config"]["trainer"]["max_steps"] == 6
    assert run["config"]["paths"]["output"] == str(shown)  # resolved
    for name, score in json.loads((shown / "results.json").read_text())["test"].items():
        assert run["summary"][f"test/{name}"] == pytest.approx(score)
    files = run["curves"]["media/predictions/filenames"]
    assert list(files) == [3, 6]
    assert list(run["curves"]["test/predictions/filenames"]) == [6]
    ours = Image.open(shown / "media" / "step_000003.png")
    theirs = Image.open(next(f for f in run["files"] if str(f).endswith(files[3][0])))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert all(file.is_file() for file in run["files"])


def test_every_logger_carries_name_group_and_tags(shown):
    run = wandb_run(shown)
    assert (run["name"], run["group"]) == ("pointset-cd-s0", "together")
    assert sorted(run["tags"]) == ["cd", "grammar", "pointset"]
    labels = {"model": "pointset", "loss": "cd", "data": "grammar"}
    assert (run["config"]["group"], run["config"]["labels"]) == ("together", labels)
    with sqlite3.connect(shown.parent / "new" / "mlflow.db") as database:
        tags = dict(database.execute("select key, value from tags").fetchall())
    assert {k: tags[f"lit3d.{k}"] for k in ("group", *labels)} == {"group": "together"} | labels


def test_the_jobs_of_a_sweep_share_a_group_and_have_names_of_their_own(tmp_path):
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    hydra = {"mode": "MULTIRUN", "sweep": {"dir": str(tmp_path / "2026-01-02_x")}, "job": {"num": 3}}
    with patch.object(HydraConfig, "initialized", lambda: True), \
         patch.object(HydraConfig, "get", lambda: OmegaConf.create(hydra | {"mode": RunMode.MULTIRUN})):  # fmt: skip
        cfg = plain(compose("run", ["logger=[csv,wandb,mlflow]", "paths.output=x", "seed=2"]))
    assert (cfg["logger"]["wandb"]["name"], cfg["logger"]["wandb"]["group"]) == ("pointset-cd-s2-3", "2026-01-02_x")
    assert cfg["logger"]["mlflow"]["run_name"] == "pointset-cd-s2-3"
    alone = plain(compose("run", ["paths.output=x"]))
    assert (alone["logger"]["wandb"]["name"], alone["group"]) == ("pointset-cd-s0", None)


def test_wandb_clouds_and_table_are_bounded(shown):
    run = wandb_run(shown)
    assert run["curves"]["test/clouds/count"] == {6: 2}
    clouds = [np.array(json.loads(f.read_text())) for f in run["files"] if f.name.endswith(".pts.json")]
    assert {c.shape for c in clouds} == {(100, 6)}
    assert all(0 <= c[:, 3:].min() and c[:, 3:].max() <= 255 for c in clouds)
    assert (run["curves"]["test/table/nrows"], run["curves"]["test/table/ncols"]) == ({6: 3}, {6: 5 + 14})
    table = run["artifacts"]["run_table"]
    content = json.loads(open(table.pop("test/table.table.json")).read())
    assert content["columns"][:5] == ["object", "category", "view", "input", "prediction"]
    assert {"fscore_5pct", "emd", "occnet/chamfer_l1"} <= set(content["columns"])
    assert {row[3]["_type"] for row in content["data"]} == {"image-file"}
    assert len(table) >= 5  # inputs and predictions; they wait inside the run folder, not in HOME
    assert all(path.startswith(str(shown / "wandb")) for path in table.values())


def test_nothing_of_a_wandb_run_reaches_the_next_one_of_the_process(shown, datasets, tmp_path):
    train(compose("run", [
        "debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path}", "logger=[csv,wandb]", "seed=7",
        "trainer.max_steps=3", "test=false", "callbacks.media=null",
    ]))  # fmt: skip
    first, second = wandb_run(shown), wandb_run(tmp_path)
    assert first["id"] != second["id"]
    assert (first["config"]["seed"], second["config"]["seed"]) == (0, 7)
    assert list(second["curves"]["train/loss"]) == [0, 1, 2]
    assert not {n for n in [*second["curves"], *second["summary"]] if n.startswith(("test", "media"))}
    assert not second["artifacts"]
    for name, curve in curves(tmp_path).items():
        assert second["curves"][name] == pytest.approx(curve), name


# --- TensorBoard ------------------------------------------------------------------------------------------------------


def test_tensorboard_holds_the_same(shown):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(shown / "tensorboard"), size_guidance={"images": 0, "tensors": 0}).Reload()
    tags = events.Tags()
    for name, curve in curves(shown).items():
        assert {e.step: e.value for e in events.Scalars(name)} == pytest.approx(curve), name
    assert [e.step for e in events.Images("media/predictions")] == [3, 6]
    assert [e.step for e in events.Images("test/predictions")] == [6]
    picture = Image.open(shown / "media" / "test.png")
    shown_there = events.Images("test/predictions")[0]
    assert (shown_there.width, shown_there.height) == picture.size
    meshes = {t.removesuffix("_VERTEX") for t in tags["tensors"] if t.startswith("test/clouds") and "VERTEX" in t}
    assert len(meshes) == 2
    (text,) = events.Tensors("test/table/text_summary")
    assert text.tensor_proto.string_val[0].decode().count("\n") == 1 + 3
    start = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    parameters = HParamsPluginData.FromString(start).session_start_info.hparams
    assert parameters["model/points"].number_value == 256
    assert parameters["seed"].number_value == 0


# --- MLflow -----------------------------------------------------------------------------------------------------------


def test_mlflow_holds_the_same_in_sqlite(shown):
    root = shown.parent
    with sqlite3.connect(root / "new" / "mlflow.db") as database:
        ((run, name, status),) = database.execute("select run_uuid, name, status from runs").fetchall()
        assert (name, status) == ("pointset-cd-s0", "FINISHED")
        rows = database.execute("select key, step, value from metrics").fetchall()
        parameters = dict(database.execute("select key, value from params").fetchall())
    for key, curve in curves(shown).items():
        assert {step: value for k, step, value in rows if k == key} == pytest.approx(curve), key
    assert (parameters["model/points"], parameters["seed"]) == ("256", "0")
    artifacts = root / "art" / run / "artifacts"
    assert (artifacts / "config.yaml").is_file()
    assert len((artifacts / "test" / "table.csv").read_text().splitlines()) == 1 + 3
    for kind, steps in (("media~predictions", (3, 6)), ("test~predictions", (6,))):
        for step in steps:
            (picture,) = glob.glob(f"{artifacts}/images/{kind}+step+{step}+*.png")
            ours = shown / "media" / ("test.png" if kind.startswith("test") else f"step_{step:06d}.png")
            np.testing.assert_array_equal(np.asarray(Image.open(picture)), np.asarray(Image.open(ours)))


@pytest.mark.parametrize(("resume", "same"), [("last", True), (None, False)])
def test_only_a_resumed_run_goes_on_in_the_mlflow_run_of_its_folder(shown, resume, same):
    from lit3d.callbacks import mlflow_logger

    database = shown.parent / "new" / "mlflow.db"
    with sqlite3.connect(database) as opened:
        ((run,),) = opened.execute("select run_uuid from runs").fetchall()
    logger = mlflow_logger(shown, f"sqlite:///{database}", "lit3d", resume)
    assert (logger._run_id == run) is same


# --- what holds for all -----------------------------------------------------------------------------------------------


def test_a_logger_whose_package_is_missing_is_refused_before_work_starts(monkeypatch):
    loggers = {
        "csv": {"_target_": "lit3d.callbacks.MetricsFile"},
        "mlflow": {"_target_": "lit3d.callbacks.mlflow_logger"},
        "tensorboard": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger"},
        "wandb": None,
    }
    show.check_installed(loggers)
    monkeypatch.setattr(show, "find_spec", lambda name: None if name == "alembic" else name)
    with pytest.raises(UserError, match=r"logger=mlflow needs alembic: pip install 'lit3d\[mlflow\]'"):
        show.check_installed(loggers)


@pytest.mark.parametrize(("choice", "names"), [
    ("csv", ["csv"]), ("default", ["csv", "wandb"]), ("[csv,tensorboard]", ["csv", "tensorboard"]),
    ("[csv,mlflow]", ["csv", "mlflow"]), ("[default,tensorboard]", ["csv", "wandb", "tensorboard"]),
])  # fmt: skip
def test_loggers_compose_in_one_word(choice, names):
    assert list(compose("run", [f"logger={choice}"]).logger) == names


def test_a_failure_to_draw_does_not_end_the_run(datasets, tmp_path, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr("lit3d.callbacks.views.drawing.two_views", broken)
    train(compose("run", ["debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path}", "trainer.max_steps=3",
                          "callbacks.results.references=false"]))  # fmt: skip
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "finished"
    assert "no ink" in caplog.text
