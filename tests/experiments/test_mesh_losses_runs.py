"""The ablation of regularisers on tiny runs, and its words on made scores."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.mesh_losses import figure
from experiments.mesh_losses.analyse import HEADS, F, analyse, families, verdict
from experiments.mesh_losses.variants import REGULARISERS, VARIANTS
from experiments.runs import by_variant, train_variants
from experiments.scores import score_rows
from lit3d.build import build_module, build_terms, plain
from lit3d.config import compose
from lit3d.errors import UserError

SMALL = ("model=mesh_deform", "model.template.level=1", "model.network.blocks=2", "model.network.width=8")


def test_each_variant_leaves_out_what_it_says():
    assert len(VARIANTS) == 12
    for variant, overrides in VARIANTS.items():
        config = plain(compose("run", [*SMALL, *overrides, "paths.output=x"]))
        distance, name = variant.split("_", 1)
        left = {"full": REGULARISERS, "none": ()}.get(name, tuple(r for r in REGULARISERS if f"no_{r}" != name))
        assert list(config["loss"]) == [distance]
        assert {t.name for t in build_terms(config["model"]["regularisers"])} == set(left)
        assert len(left) == {"full": 4, "none": 0}.get(name, 3)
    assert {t.name for t in build_module(config).terms} == {"emd"}


@pytest.fixture
def made(tmp_path, write_run):
    """All terms and none: without them the F-score is 0.02 higher, and ten times as much is folded."""
    for seed in (0, 1):
        for variant, more, factor in (("cd_full", 0.0, 1.0), ("cd_no_move", 0.0, 1.0), ("cd_none", 0.02, 10.0)):
            objects = {f"o{i}": 0.6 + 0.01 * i for i in range(8)}
            own = {score: {name: [factor * 0.01] * 2 for name in objects} for score in HEADS if score != F}
            own[F] = {name: [value + more, value + more + 0.01 * seed] for name, value in objects.items()}
            write_run(tmp_path / f"{variant}_{seed}", own)
    return by_variant(tmp_path, tuple(VARIANTS), "x")


def test_the_verdict_says_what_terms_cost_and_what_they_save(made):
    (runs,) = families(made).values()
    move, every = verdict(score_rows(runs, HEADS))
    assert move.startswith("cd: move does not change F-score (+0.000, ")
    assert every.startswith("cd: all regularisers cost F-score (-0.020, -0.020 to -0.020; 0.637 with and 0.657 without")
    assert "folded 1.0% with and 10.0% without" in every
    turned = {"cd_full": made["cd_none"], "cd_none": made["cd_full"]}
    assert verdict(score_rows(turned, HEADS))[0].startswith("cd: all regularisers raise F-score (+0.020, ")


def test_without_the_full_objective_there_is_nothing_to_compare_with(made):
    with pytest.raises(UserError, match="cd_no_move is compared with cd_full, which was not trained"):
        families({name: folders for name, folders in made.items() if name != "cd_full"})


def test_cells_are_closer_than_the_image_and_centred():
    pose, lens = torch.eye(4), torch.tensor([[70.0, 0, 32], [0, 70.0, 32], [0, 0, 1]])
    pose[2, 3] = 2.0
    sample = {"intrinsics": lens, "pose": pose, "object_to_target": torch.eye(4), "image": torch.zeros(3, 64, 64)}
    found, *_, size, image_size = figure.camera(sample)
    assert (size, image_size) == (figure.SIZE, 64)
    np.testing.assert_allclose(found, [[70 * figure.ZOOM, 0, 32], [0, 70 * figure.ZOOM, 32], [0, 0, 1]])
    assert lens[0, 0] == 70  # the sample's own stays


@pytest.mark.slow
def test_tiny_runs_give_the_tables_and_the_figures(datasets, tmp_path):
    tiny = ["debug=tiny", f"paths.data={datasets}", "trainer.max_steps=1", "callbacks.media=null",
            "trainer.val_check_interval=1", "metrics.dense=10000"]  # fmt: skip
    runs = tmp_path / "runs"
    chosen = {name: (*SMALL, *overrides) for name, overrides in VARIANTS.items()}
    for name, references in (("cd_full", "true"), ("cd_none", "false"), ("emd_full", "false")):
        given = ["--out", str(runs), "--only", name, f"callbacks.results.references={references}", *tiny]
        train_variants(chosen, "mesh_losses", None, given)
    (line,) = analyse(runs, tmp_path / "out")
    assert line.startswith("cd: all regularisers ")
    with (tmp_path / "out" / "network.csv").open() as stream:
        rows = {(r["variant"], r["score"]): r for r in csv.DictReader(stream)}
    assert float(rows["cd_full", F]["difference_mean"]) == float(rows["emd_full", F]["difference_mean"]) == 0
    assert rows["cd_none", "folded"]["difference_low"]
    assert float(rows["template", "euler"]["mean"]) == float(rows["cd_none", "euler"]["mean"]) == 2
    assert float(rows["template", "flipped"]["mean"]) < 0.5
    with Image.open(tmp_path / "out" / "network.png") as sheet:
        assert sheet.width == 6 + 4 * (figure.SIZE + 6)  # image, truth, full and none
        assert np.ptp(np.asarray(sheet)) > 100
    assert (tmp_path / "out" / "trade.png").stat().st_size > 5_000


def test_a_folder_without_runs_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match=r"experiments\.mesh_losses\.train"):
        analyse(tmp_path, tmp_path)
