"""Shapes that a report shows: kept views, exported files, scenes."""

import base64
import json

import numpy as np

from lit3d.reporting.contents import gather
from lit3d.reporting.html import page_data
from lit3d.reporting.shapes import views_of
from lit3d.reporting.write import report


def test_views_are_in_the_cameras_axes_with_y_up_and_templates_are_packed_once(sweep):
    contents = gather([sweep])
    views, note = views_of(contents.runs[4])
    assert (len(views), note) == (24, "")
    with np.load(contents.runs[4].folder / "media" / "test_views.npz") as kept:
        first = kept["vertices"][: kept["vertex_counts"][0]].astype(float)
    view = next(iter(views.values()))
    np.testing.assert_allclose(view.vertices, first * [1, -1, -1], atol=1e-3)
    data, _ = page_data(contents)
    (block,) = data["blocks"]
    faces = {shape[1] for v in block["views"] for shape in v["shapes"].values() if len(shape) == 2}
    assert len(faces) == 1
    assert {len(v["shapes"]) for v in block["views"]} == {8}


def test_runs_that_kept_no_views_show_their_exported_shapes(make):
    import trimesh

    folder = make.run(make.root / "old")
    (folder / "media" / "test_views.npz").unlink()
    (folder / "media" / "test").mkdir()
    points = np.random.default_rng(0).random((50, 3))
    trimesh.PointCloud(points).export(folder / "media" / "test" / "chair-0000_view01.ply")
    views, note = views_of(gather([folder]).runs[0])
    assert (list(views), note) == ([("test", "chair-0000", 1)], "")
    view = views["test", "chair-0000", 1]
    assert (view.category, view.image, view.truth) == ("chair", None, None)
    np.testing.assert_allclose(view.vertices, points * [1, -1, -1], atol=1e-5)


def test_scenes_without_points_have_their_own_scores_and_are_brought_to_the_middle(config, make):
    """Depth of scenes: no n against m, metres from the camera, scores of another table."""
    metrics = {"abs_rel": -1, "delta1": 1, "own_score": 1}
    for seed, loss in enumerate(("l1", "silog")):
        folder = make.run(make.root / loss, model="depth", loss=loss, seed=seed, metrics=metrics)
        results = json.loads((folder / "results.json").read_text())
        results["counts"] |= {"m": None}
        results["data"] = {"name": "rooms", "unit": "m"}
        results["references"] = {}
        (folder / "results.json").write_text(json.dumps(results))
        path = folder / "media" / "test_views.npz"
        with np.load(path) as kept:
            arrays = {name: kept[name] for name in kept.files}
        for name in ("truth", "vertices"):
            arrays[name] = (arrays[name].astype(np.float32) * 3 + [0, 0, 6]).astype(np.float16)
        np.savez_compressed(path, **arrays)
    contents, path = report(config([make.root]))
    (block,) = contents.blocks
    assert block.title == "rooms"
    assert block.splits[0].best["abs_rel"] != []
    text = path.read_text()
    assert "| AbsRel " in text
    assert "own_score" not in text  # of a table that nobody closes with: in the page, folded, and in the CSV
    data, _ = page_data(contents)
    assert data["more"] == ["delta1"]
    for view in data["blocks"][0]["views"]:
        for (place,) in (view["truth"], *view["shapes"].values()):
            points = np.frombuffer(base64.b64decode(data["pool"][place]), "<i2").reshape(-1, 3) / 8192
            assert np.abs(np.median(points, axis=0)).max() < 0.2
            assert 0.3 < np.quantile(np.abs(points), 0.99) < 0.8
    for form in ("html", "csv", "png"):
        report(config([make.root], form))
