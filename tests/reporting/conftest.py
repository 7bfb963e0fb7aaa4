"""Synthetic run folders: everything a finished run leaves that a report reads, without training."""

import json
import shutil

import numpy as np
import pytest
import trimesh
import yaml

CATEGORIES = ("chair", "table", "lamp", "car", "mug")
METRICS = {"fscore_5pct": 1, "fscore_1pct": 1, "chamfer_l1": -1, "emd": -1}
VIEWS = 24


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content, sort_keys=False))


def rows_of(count):
    return [("test", f"{CATEGORIES[i // 2 % 5]}-{i // 2:04d}", CATEGORIES[i // 2 % 5], i % 2) for i in range(count)]


def scores_of(rows, quality, seed, metrics=METRICS):
    """Scores of `quality`: hardness belongs to the object and is shared by all runs, some noise is the run's own."""
    hard = {name: float(np.random.default_rng(int(name[-4:])).uniform(0, 0.3)) for _, name, *_ in rows}
    own = np.random.default_rng([seed, int(quality * 1000)])
    noise = own.normal(0, 0.05, len(rows)) + np.repeat(own.normal(0, 0.05, (len(rows) + 1) // 2), 2)[: len(rows)]
    good = np.clip(quality - np.array([hard[r[1]] for r in rows]) + noise, 0.01, 0.99)
    return {m: good if METRICS.get(m, 1) > 0 else 0.1 * (1.05 - good) for m in metrics}


def write_views(path, rows, kind, quality, seed):
    """Ellipsoids: the truth is the object's, a prediction is blurred by what its run lacks in quality."""
    generator = np.random.default_rng(seed)
    ball = trimesh.creation.icosphere(subdivisions=4 if kind == "mesh_deform" else 3)
    chosen = rows[:: max(1, len(rows) // VIEWS)][:VIEWS]
    truth, shapes = [], []
    for _, name, _, _ in chosen:
        axes = np.random.default_rng(int(name[-4:])).uniform(0.15, 0.5, 3)
        points = np.random.default_rng(1).normal(size=(1024, 3))
        truth.append(points / np.linalg.norm(points, axis=1, keepdims=True) * axes)
        blur = generator.normal(0, 0.12 * (1 - quality), (len(ball.vertices) if kind == "mesh_deform" else 1024, 3))
        shapes.append((np.asarray(ball.vertices) * axes if kind == "mesh_deform" else truth[-1]) + blur)
    faces = [np.asarray(ball.faces) if kind == "mesh_deform" else np.zeros((0, 3), int) for _ in chosen]
    image = np.full((len(chosen), 64, 64, 3), 255, np.uint8)
    for i in range(len(chosen)):
        image[i, 16:48, 10 + i : 40] = (30 + 9 * i, 120, 200 - 7 * i)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, object=np.array([r[1] for r in chosen]), category=np.array([r[2] for r in chosen]),
        view=np.array([r[3] for r in chosen]), image=image,
        pose=np.tile(np.eye(4, dtype=np.float32), (len(chosen), 1, 1)),
        truth=np.concatenate(truth).astype(np.float16), truth_counts=np.array([len(t) for t in truth]),
        vertices=np.concatenate(shapes).astype(np.float16),
        vertex_counts=np.array([len(s) for s in shapes]), faces=np.concatenate(faces).astype(np.int32),
        face_counts=np.array([len(f) for f in faces]),
    )  # fmt: skip


def write_run(folder, model="pointset", loss="cd", seed=0, images=40, quality=0.8, metrics=METRICS, **changes):
    """One finished run; `changes` are further keys of its config."""
    steps = 600
    rows = rows_of(images)
    scores = scores_of(rows, quality, seed, metrics)
    means = {m: float(v.mean()) for m, v in scores.items()} | {"failure": 0.0}
    table = {c: {m: float(v[[r[2] == c for r in rows]].mean()) for m, v in scores.items()} for c in CATEGORIES}
    beside = {"mean_shape": {"mean": {"fscore_5pct": 0.3, "chamfer_l1": 0.08}},
              "truth_resampled": {"mean": {"fscore_5pct": 0.98, "chamfer_l1": 0.01}}}  # fmt: skip
    dump(folder / "config.yaml", {
        "paths": {"data": "datasets", "output": str(folder)}, "model": {"name": model, "optimizer": {"lr": 0.0007}},
        "loss": {loss: {"_target_": f"lit3d.losses.{loss}", "weight": 1.0}}, "seed": seed,
        "data": {"name": "grammar", "frame": "viewer"},
        "trainer": {"max_steps": steps, "default_root_dir": str(folder)}, "name": f"{model}-{loss}",
        **changes,
    })  # fmt: skip
    dump(folder / "results.json", {
        "test": means, "test_by_class": table, "test_failures": 0, "test_coverage": 1.0,
        "references": {"test": beside},
        "counts": {"n": 1024, "m": 10000, "images": images, "objects": images // 2},
        "data": {"name": "grammar", "version": "0123456789"},
        "steps": steps, "parameters": 7_000_000, "model": model, "loss": [loss], "seed": seed,
        "system": {"torch": "2.13.0", "accelerator": "cpu"},
        "seconds": {"data": 1.0, "training": 300.0 + seed, "test": 9.0},
    })  # fmt: skip
    dump(folder / "status.json", {"status": "finished", "reason": None, "seconds": 310.0})
    head = ["split", "object", "category", "view", *scores, "failure", "mean_shape/fscore_5pct"]
    values = [[f"{v[i]:.6g}" for v in scores.values()] for i in range(len(rows))]
    lines = [",".join(head), *(",".join(map(str, [*row, *own, 0, 0.3])) for row, own in zip(rows, values, strict=True))]
    (folder / "per_sample.csv").write_text("\n".join(lines) + "\n")
    noise = np.random.default_rng(seed)
    curve = ["step,epoch,train/loss,val/fscore_5pct"]
    curve += [f"{s},0,{0.05 + 0.5 / (1 + s / 30) + noise.normal(0, 0.005):.5f}," for s in range(19, steps, 20)]
    curve += [f"{s},0,,{quality * s / steps:.4f}" for s in range(steps // 5, steps + 1, steps // 5)]
    (folder / "metrics.csv").write_text("\n".join(curve) + "\n")
    times = ["step,seconds", *(f"{s},{s / 2}" for s in range(19, steps + 1, 20))]
    (folder / "times.csv").write_text("\n".join(times) + "\n")
    write_views(folder / "media" / "test_views.npz", rows, model, quality, seed)
    return folder


def write_free_points(folder, loss="cd", family="circle", seed=0, dimension=2, radius=0.4):
    """One finished run of the mean-shape laboratory."""
    generator = np.random.default_rng([seed, len(loss)])
    points = generator.normal(size=(200, dimension))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    members = np.stack([points * k for k in (0.5, 0.8, 1.1, 1.3, 1.5)])
    dump(folder / "config.yaml", {"paths": {"output": str(folder)}, "seed": seed,
                                  "model": {"name": "free_points", "network": {"seed": seed}},
                                  "loss": {loss: {"weight": 1.0}}, "data": {"name": family}})  # fmt: skip
    dump(folder / "results.json", {
        "test": {loss: 0.01 + 0.001 * seed}, "test_standard_error": {loss: 0.0002},
        "family": {"name": family, "dimension": dimension},
        "mean_shape": {"radius": {"mean": radius, "median": radius, "spread": 0.02}, "off_member": 0.5, "between": 0.25,
                       "answers": {"median": {"hidden": 0.4, "emd": 0.003}}},
        "counts": {"n": 200, "samples": 256}, "steps": 600, "parameters": 400, "model": "free_points", "loss": [loss],
        "seed": seed,
        "system": {"torch": "2.13.0"}, "seconds": {"training": 3.0},
    })  # fmt: skip
    dump(folder / "status.json", {"status": "finished"})
    (folder / "metrics.csv").write_text("step,epoch,train/loss\n19,0,0.5\n39,0,0.2\n")
    np.savez_compressed(folder / "points.npz", points=points, members=members, hidden=np.arange(5.0))
    return folder


def write_sweep(root, images=40, seeds=(0, 1, 2), rates=(0.0007, 0.001)):
    """Two models, two losses, some learning rates and seeds, as a sweep lays them out."""
    number = 0
    for model, loss, rate, seed in [(m, k, r, s) for m in ("pointset", "mesh_deform") for k in ("cd", "emd")
                                    for r in rates for s in seeds]:  # fmt: skip
        quality = 0.7 + 0.1 * (loss == "emd") + 0.04 * (model == "mesh_deform") + 0.01 * (rate > 0.0008)
        metrics = (*METRICS, "normal_consistency") if model == "mesh_deform" else METRICS
        folder = root / f"{number}_{model}-{loss}_s{seed}"
        write_run(folder, model, loss, seed, images, quality, metrics, model_rate=rate,
                  model_note={"optimizer": {"lr": rate}})  # fmt: skip
        given = [f"model={model}", f"loss={loss}", f"model_rate={rate}", f"seed={seed}"]
        dump(folder / ".hydra" / "overrides.yaml", given)
        number += 1
    return root


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    """Eight small runs, two seeds of four settings, and two free point sets of each loss; read only."""
    root = write_sweep(tmp_path_factory.mktemp("multirun"), seeds=(0, 1), rates=(0.0007,))
    for n, (loss, seed) in enumerate([("cd", 0), ("cd", 1), ("emd", 0), ("emd", 1)]):
        write_free_points(root / f"{8 + n}_mean_shape-circle-{loss}_s{seed}", loss, seed=seed, radius=0.3 + 0.1 * n)
    return root


@pytest.fixture(scope="session")
def sweep_of_24(tmp_path_factory):
    """24 runs of 500 images each; read only."""
    return write_sweep(tmp_path_factory.mktemp("large"), images=500)


@pytest.fixture
def make(tmp_path):
    """The writers, and a folder of the test's own."""

    class Make:
        root = tmp_path
        run = staticmethod(write_run)
        free_points = staticmethod(write_free_points)
        sweep = staticmethod(write_sweep)

        @staticmethod
        def copy(source, name):
            return shutil.copytree(source, tmp_path / name)

    return Make


@pytest.fixture(scope="session")
def config():
    """What the command line of a report would say, by runs, format and changes."""

    def of(runs, form="md", **changes):
        unset = dict.fromkeys(("baseline", "output", "title"))
        return {"runs": [str(r) for r in runs], "format": form} | unset | changes

    return of
