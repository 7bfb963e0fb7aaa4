"""What a run keeps for reports: the file itself, and the mesh that is made small for it."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from lit3d.callbacks.kept_views import FACES, POINTS, clustered, save_views
from lit3d.config import compose
from lit3d.training import train


@pytest.fixture(scope="module")
def folder(datasets, tmp_path_factory):
    root = tmp_path_factory.mktemp("kept")
    train(compose("run", ["debug=tiny", f"paths.data={datasets}", f"paths.output={root}", "trainer.max_steps=3",
                          "callbacks.results.references=false", "callbacks.media.views=3"]))  # fmt: skip
    return root


def test_a_run_keeps_input_truth_and_prediction_of_scored_views(folder):
    with np.load(folder / "media" / "test_views.npz") as kept:
        views = {name: kept[name] for name in kept.files}
    with (folder / "per_sample.csv").open() as stream:
        scored = {(row["object"], row["category"], int(row["view"])) for row in csv.DictReader(stream)}
    names = set(zip(views["object"].tolist(), views["category"].tolist(), views["view"].tolist(), strict=True))
    assert len(names) == 3
    assert names <= scored
    assert views["image"].shape == (3, 64, 64, 3)
    assert views["image"].std() > 5  # a picture, not a blank
    assert views["truth_counts"].tolist() == [512] * 3
    assert len(views["truth"]) == 3 * 512
    assert views["vertex_counts"].tolist() == [256] * 3
    assert views["face_counts"].tolist() == [0] * 3
    for i, name in enumerate(views["object"]):  # the prediction is that of the .ply beside it
        found = list((folder / "media" / "test").glob(f"{name}_view{views['view'][i]:02d}.ply"))
        for path in found:
            points = views["vertices"].reshape(3, 256, 3)[i]
            np.testing.assert_allclose(points, np.asarray(trimesh.load(path).vertices), atol=1e-3)


def sample(name):
    return {"object": name, "category": "c", "view": torch.tensor(2), "image": torch.rand(3, 8, 8),
            "pose": torch.eye(4), "points": torch.rand(2000, 3)}  # fmt: skip


def test_meshes_large_sets_and_nothing_at_all_share_a_file(tmp_path):
    fine = trimesh.creation.icosphere(subdivisions=5)  # 20,480 triangles
    shapes = [fine, trimesh.PointCloud(np.random.default_rng(0).random((9000, 3))), trimesh.Trimesh()]
    prediction = SimpleNamespace(to_trimesh=lambda i: shapes[i])
    save_views(tmp_path / "a" / "v.npz", SimpleNamespace(samples=[sample(n) for n in "abc"], prediction=prediction))
    with np.load(tmp_path / "a" / "v.npz", allow_pickle=False) as kept:
        assert kept["vertex_counts"].tolist()[1:] == [POINTS, 0]
        assert 1000 < kept["face_counts"][0] <= FACES
        assert kept["face_counts"].tolist()[1:] == [0, 0]
        assert len(kept["vertices"]) == kept["vertex_counts"].sum()
        assert kept["faces"].max() < kept["vertex_counts"][0]
        assert kept["truth_counts"].tolist() == [1024] * 3
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["v.npz"]


def test_clustering_keeps_the_shape_and_leaves_small_meshes_alone():
    ball = trimesh.creation.icosphere(subdivisions=5)
    vertices, faces = clustered(np.asarray(ball.vertices), np.asarray(ball.faces), 3000)
    assert len(faces) <= 3000
    small = trimesh.Trimesh(vertices, faces, process=False)
    assert small.volume == pytest.approx(ball.volume, rel=0.05)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 1, atol=0.02)
    assert len(np.unique(np.sort(faces, axis=1), axis=0)) == len(faces)
    same = clustered(vertices, faces, 3000)
    assert same[0] is vertices
    assert same[1] is faces
