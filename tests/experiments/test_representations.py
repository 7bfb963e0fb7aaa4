"""The comparison of representations on tiny runs, and its budgets."""

import csv
import json

import pytest
import trimesh
from PIL import Image

from experiments.representations import pace, train, tune
from experiments.representations.analyse import analyse
from experiments.representations.cost import size
from experiments.representations.figure import SIZE
from experiments.representations.variants import RATES, VARIANTS
from experiments.runs import run_once
from lit3d.build import instantiate, plain
from lit3d.config import compose
from lit3d.errors import UserError


def test_all_share_encoder_batches_and_images_and_state_their_rate():
    encoders, data = set(), []
    for name, overrides in VARIANTS.items():
        config = plain(compose("run", [*overrides, "paths.output=x"]))
        network = instantiate(config["model"]["network"])
        assert config["model"]["optimizer"]["lr"] == RATES[name]
        assert config["model"]["encoder"]["_target_"] == "lit3d.networks.SmallEncoder"
        encoders.add(sum(p.numel() for p in network.encoder.levels.parameters()))
        data.append(config["data"])
    assert len(encoders) == 1
    assert all(config == data[0] for config in data)


def test_equal_time_is_counted_out_in_steps_and_measured_once(tmp_path, monkeypatch):
    asked = []

    def measured(overrides, folder):
        asked.append((tuple(overrides), folder))
        return 0.5 if "a" in overrides else 0.2

    monkeypatch.setattr(pace, "pace", measured)
    found = pace.in_seconds({"one": ["a"], "two": ["b"]}, 10, ["x=1"], tmp_path)
    assert found == {"one": ("a", "trainer.max_steps=20"), "two": ("b", "trainer.max_steps=50")}
    assert asked[0] == (("a", "x=1"), tmp_path / "pace" / "one")
    assert json.loads((tmp_path / "pace.json").read_text()) == {"one": 0.5, "two": 0.2}
    assert pace.in_seconds({"two": ["b"]}, 20, [], tmp_path)["two"][1] == "trainer.max_steps=100"
    assert len(asked) == 2


def test_a_pace_is_the_median_without_the_first_steps(tmp_path, monkeypatch):
    seconds = [0.0] + [10.0] * 10 + [1.0, 2.0, 90.0]
    lines = [f"{i + 1},{sum(seconds[: i + 1])}" for i in range(len(seconds))]
    (tmp_path / "times.csv").write_text("\n".join(["step,seconds", *lines]))
    monkeypatch.setattr(pace, "run_once", lambda overrides, folder: folder)
    assert pace.pace([], tmp_path) == 2


def test_two_budgets_at_once_are_refused(capsys):
    with pytest.raises(SystemExit):
        train.main(["--seconds", "10", "trainer.max_steps=3"])
    assert "give one of them" in capsys.readouterr().err


@pytest.mark.parametrize(("monitor", "mode", "best"), [("val/iou", "max", "1e-3"), ("val/chamfer_l1", "min", "3e-4")])
def test_the_best_rate_is_the_best_by_the_models_own_monitor(tmp_path, monkeypatch, capsys, monitor, mode, best):
    def ran(overrides, folder):
        score = {"3e-4": 0.2, "1e-3": 0.4, "3e-3": None}[folder.name.split("_")[-1]]
        folder.mkdir(parents=True)
        (folder / "status.json").write_text(json.dumps({"score": score}))
        (folder / "config.yaml").write_text(f"callbacks: {{checkpoint: {{monitor: {monitor}, mode: {mode}}}}}")
        return folder

    monkeypatch.setattr(tune, "run_once", ran)
    tune.main(["--only", "voxel", "--out", str(tmp_path), "--rates", "3e-4,1e-3,3e-3"])
    assert f'RATES = {{"voxel": {best}}}' in capsys.readouterr().out


def test_sizes_of_what_comes_out():
    box = trimesh.creation.box()
    found = size(box, points_only=False)
    assert (found["points"], found["triangles"], found["watertight"]) == (8, 12, 1.0)
    assert found["ply_bytes"] == len(box.export(file_type="ply"))
    assert size(trimesh.Trimesh(box.vertices, box.faces[:-1]), points_only=False)["watertight"] == 0
    cloud = size(trimesh.PointCloud(box.vertices), points_only=True)
    assert cloud["triangles"] == 0
    assert cloud["watertight"] != cloud["watertight"]
    assert size(trimesh.Trimesh(), points_only=False) == {
        "points": 0, "triangles": 0, "ply_bytes": 0, "watertight": 0.0
    }  # fmt: skip


@pytest.mark.slow
def test_tiny_runs_give_the_tables_and_the_figure(datasets, tmp_path):
    tiny = ["debug=tiny", f"paths.data={datasets}", "trainer.max_steps=1", "trainer.val_check_interval=1",
            "callbacks.media=null", "callbacks.branches=null"]  # fmt: skip
    for name, references in (("pointset_fc", "false"), ("voxel", "true"), ("depth", "false")):
        chosen = [*VARIANTS[name], *tiny, f"callbacks.results.references={references}"]
        run_once(chosen, tmp_path / "runs" / f"{name}_0")
    left_out = analyse(tmp_path / "runs", tmp_path / "out", samples=2, pictured=2)
    assert [line.rpartition(" ")[2] for line in left_out] == ["pointset_two_branch", "mesh_deform", "occupancy"]
    tables = {}
    for name in ("scores", "references", "choose"):
        with (tmp_path / "out" / f"{name}.csv").open() as stream:
            tables[name] = list(csv.DictReader(stream))
    scored = {(r["variant"], r["score"]) for r in tables["scores"]}
    assert ("pointset_fc", "emd") in scored
    assert ("pointset_fc", "chamfer_l1_10k") not in scored  # a set is never made larger
    assert ("voxel", "chamfer_l1_10k") in scored
    assert ("depth (visible part only)", "fscore_5pct") in scored
    assert {("voxel", "iou")} == {(v, s) for v, s in scored if s == "iou"}
    beside = {r["variant"] for r in tables["references"]}
    assert {"mean shape", "retrieval", "oracle", "ceiling", "truth resampled"} <= beside
    assert [r["variant"] for r in tables["choose"]] == ["pointset_fc", "voxel", "depth (visible part only)"]
    points, voxel, depth = tables["choose"]
    assert (float(points["points"]), points["watertight"]) == (256, "")
    assert float(voxel["ms"]) > float(voxel["ms_network"]) > 0
    assert float(depth["watertight"]) == 0
    sheet = Image.open(tmp_path / "out" / "representations.png")
    assert sheet.size == (6 + 5 * (SIZE + 6), 6 + 26 + 4 * (SIZE + 6))


def test_a_folder_without_runs_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match=r"experiments\.representations\.train"):
        analyse(tmp_path, tmp_path)
