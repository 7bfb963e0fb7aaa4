"""The analysis of mean shapes on folders whose numbers are known."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from experiments.mean_shape import animate, bias, degeneracy, disk, figure, sets, table
from lit3d.data.families import BAR, bar_and_disk, parameters
from lit3d.errors import UserError


def write(folder, family, loss, seed=0, probability=0.5, radius=0.5, at=0.5, sampling="stratified", n=12):
    """A run folder as the laboratory leaves it."""
    (folder / "media").mkdir(parents=True)
    config = {"data": {"sampling": sampling, "family": {"hidden": {"probability": probability}}}, "seed": seed,
              "model": {"points": n, "init": "blob"}}  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    found = {
        "radius": {"mean": radius, "median": radius, "spread": 0.1}, "off_member": 0.25, "between": 0.05,
        "at_places": {"0": 0.0, "1": 0.25 * at}, "answers": {"mean": {"hidden": 0.5, "emd": 0.01}},
    }  # fmt: skip
    results = {"family": {"name": family}, "loss": [loss], "test": {loss: 0.5}, "mean_shape": found,
               "seconds": {"training": 3.0}}  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2))
    np.savez(folder / "points.npz", points=points, members=rng.normal(size=(3, n, 2)), hidden=np.arange(3))
    frames = np.stack([points * t for t in (0.1, 0.5, 1.0)]).astype(np.float16)
    np.savez(folder / "media" / "frames.npz", steps=np.array([0, 5, 10]), points=frames)


@pytest.fixture
def runs(tmp_path):
    for i, (family, loss, seed) in enumerate(
        [("disk", "emd", 0), ("disk", "cd", 0), ("circle", "emd", 0), ("circle", "emd", 1), ("circle", "cd", 0)]
    ):
        write(tmp_path / "runs" / str(i), family, loss, seed, at=0.2 * i, radius=0.5 + 0.1 * seed)
    return tmp_path / "runs"


def test_runs_are_read_in_the_papers_order(runs):
    found = sets.first_of_each(sets.read([runs]))
    assert set(found) == {(f, k) for f in ("disk", "circle") for k in ("emd", "cd")}
    assert found["circle", "emd"].run.config["seed"] == 0
    assert sets.ordered(["x", "disk", "circle"], sets.FAMILIES) == ["circle", "disk", "x"]
    (runs / "0" / "media" / "frames.npz").unlink()
    with pytest.raises(UserError, match="frames must be above 0"):
        found["disk", "emd"].frames()


def test_other_runs_are_no_mean_shapes(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError, match="no mean shape"):
        sets.read([tmp_path])


def test_the_table_has_means_and_extremes_over_seeds(runs):
    lines = table.lines(sets.read([runs]))
    assert lines[0].startswith("circle emd")
    assert "(2 seeds)" in lines[0]
    radius = next(line for line in lines if line.split()[0] == "radius")
    assert radius.split() == ["radius", "0.5500", "[0.5000,", "0.6000]"]
    gain = next(line for line in lines if line.strip().startswith("radius / mean"))
    assert gain.split()[-3:] == ["0.1000", "[0.0000,", "0.2000]"]


@pytest.mark.parametrize("losses", [("emd", "cd"), ("emd", "cd", "emd_squared", "dcd")])
def test_the_figure_takes_any_losses(tmp_path, losses):
    for loss in losses:
        for family in ("circle", "corners"):
            write(tmp_path / f"{family}-{loss}", family, loss)
    (tmp_path / "corners-cd" / "results.json").unlink()  # a run that is missing leaves its place empty
    figure.draw(sets.read([tmp_path]), tmp_path / "a.png")
    width, height = Image.open(tmp_path / "a.png").size
    assert (width > height) == (len(losses) > 3)


def test_the_animation_has_every_frame(runs, tmp_path, monkeypatch):
    found = sets.first_of_each(sets.read([runs]))
    rows = [[found[f, k] for k in ("emd", "cd")] for f in ("circle", "disk")]
    pictures = animate.animation(rows, ("emd", "cd"))
    assert len(pictures) == 3
    assert pictures[0].size == (3 * 218 + 8, 24 + 2 * 218)
    assert pictures[0].tobytes() != pictures[2].tobytes()
    monkeypatch.setattr("sys.argv", ["animate", str(runs), "--losses", "emd", "--out", str(tmp_path / "a.gif"),
                                     "--families", "disk"])  # fmt: skip
    animate.main()
    assert Image.open(tmp_path / "a.gif").n_frames == 3


def test_the_disk_curve_is_a_share_of_a_real_disk(tmp_path):
    for i, (p, at) in enumerate([(0.7, 1.0), (0.3, 0.1), (0.3, 0.3)]):
        write(tmp_path / str(i), "disk", "emd", seed=i, probability=p, at=at)
    np.testing.assert_allclose(disk.curve(sets.read([tmp_path]), "emd"), [[0.3, 0.2, 0.2], [0.7, 1.0, 0.2]])
    disk.draw(sets.read([tmp_path]), tmp_path / "disk.png")


def test_the_way_gone_is_none_in_the_bar_and_all_in_the_disk():
    members = bar_and_disk(torch.tensor([0.0, 1.0]), parameters(2, 400, "stratified"))
    assert disk.way_gone(members[0].numpy()) == pytest.approx(0, abs=0.01)
    assert disk.way_gone(members[1].numpy()) == pytest.approx(1, abs=0.01)


def test_the_expected_loss_flattens_along_the_way():
    """Halfway costs half the distance between the two shapes, in the continuum as anywhere on the way."""
    draw = torch.Generator().manual_seed(0)
    x = degeneracy.on_the_way(80, 0.5, draw)
    assert ((x[:, 0] > BAR[0] / 2 + 0.01).sum(), len(x)) == (10, 80)
    few, many = (degeneracy.expected(n, "stratified", drawn=160) for n in (24, 160))
    assert degeneracy.relief(many) < degeneracy.relief(few)
    assert degeneracy.relief(many) < 0.12
    assert degeneracy.relief(np.array([2.0, 1.0, 1.5])) == 1


def test_the_bias_of_independent_angles(tmp_path):
    """The law against a search for the best radius, with common angles: sorted angles are matched after a shift."""
    rng = np.random.default_rng(0)
    n, angles = 60, np.sort(rng.random((400, 60)), axis=1)
    even = np.arange(n) / n
    error = angles - even
    error = 2 * np.pi * (error - error.mean(axis=1, keepdims=True))
    best = np.cos(error).mean()  # of (rho - cos)^2 + sin^2 over rho
    assert best - 1 == pytest.approx(float(bias.law(n)), abs=0.003)
    write(tmp_path / "0", "circle", "emd_squared", radius=0.49, sampling="iid")
    points = bias.measured(sets.read([tmp_path]))
    np.testing.assert_allclose(points, [[12, -0.02]])  # against the family's mean
    write(tmp_path / "1", "circle", "emd_squared", radius=0.7)
    np.testing.assert_allclose(bias.measured(sets.read([tmp_path])), [[12, -0.3]])  # against the same radii
    bias.draw(points, tmp_path / "bias.png")
