"""The comparison of losses on tiny runs, and its numbers on made ones."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.depth_losses import figure
from experiments.depth_losses.analyse import HEADS, analyse, verdict
from experiments.depth_losses.variants import VARIANTS
from experiments.runs import by_variant, train_variants
from experiments.scores import compared, differences, per_object, score_rows, wide
from lit3d.build import build_module, plain
from lit3d.config import compose
from lit3d.errors import UserError


@pytest.fixture
def made(tmp_path, write_run):
    """Two losses with two seeds: the second cuts angles by a quarter and changes no depth."""
    objects = {f"o{i}": [10.0 + i, 12.0 + i] for i in range(8)}
    for seed in (0, 1):
        for variant, factor in (("l1", 1.0), ("l1_normal", 0.75)):
            angle = {name: [factor * v + seed for v in views] for name, views in objects.items()}
            depth = {name: [0.05 + 0.01 * seed] * 2 for name in objects}
            own = {"abs_rel": depth, "depth_normal_angle": angle}
            own |= {"normal_angle": angle} if variant == "l1_normal" else {}
            write_run(tmp_path / f"{variant}_{seed}", own)
    return by_variant(tmp_path, tuple(VARIANTS), "x")


def test_every_loss_trains_the_same_network(made):
    counts = {}
    for variant, overrides in VARIANTS.items():
        module = build_module(plain(compose("run", ["model=depth", *overrides, "paths.output=x"])))
        counts[variant] = sum(p.numel() for p in module.parameters())
        names = [term.name for term in module.terms]
        assert names[0] == variant.split("_")[0], names
        assert ("normal" in names) == (variant == "l1_consistency")
    assert counts.pop("l1_consistency") > counts["l1"]
    assert len(set(counts.values())) == 1


def test_objects_are_compared_in_pairs_over_views_and_seeds(made):
    assert per_object(made["l1"][1], "depth_normal_angle") == {f"o{i}": 12.0 + i for i in range(8)}
    found = compared(made, "depth_normal_angle")
    assert found["l1"]["mean"] == pytest.approx(15.0)  # 11 + 3.5 and half a seed
    assert found["l1"]["spread"] == pytest.approx(2**-0.5)  # of two runs a degree apart
    assert found["l1"]["difference_mean"] == found["l1"]["difference_high"] == 0
    assert found["l1_normal"]["difference_mean"] == pytest.approx(-0.25 * 14.5)
    assert found["l1_normal"]["difference_low"] < -0.25 * 14.5 < found["l1_normal"]["difference_high"] < 0
    head = compared(made, "normal_angle")
    assert list(head) == ["l1_normal"]
    assert np.isnan(head["l1_normal"]["difference_mean"])


def test_the_verdict_says_what_a_loss_does_to_normals_and_at_which_depth_error(made):
    rows = score_rows(made, HEADS)
    (line,) = verdict(rows)
    assert line.startswith("l1_normal cuts the normal error by 24% (")
    assert "15.0 to 11.4 degrees) at equal depth error (abs_rel 0.0550, of l1 0.0550" in line
    (other,) = verdict(score_rows(dict(reversed(made.items())), HEADS))
    assert other.startswith("l1 raises the normal error by 32% (")
    line = wide(rows, HEADS, lambda score: 1 if "angle" in score else 3)[1]
    assert line == {"": "l1_normal", "AbsRel": "0.055 ±0.007", "angle": "11.4 ±0.7", "head": "11.4 ±0.7"}
    (line,) = differences(rows, {"abs_rel": "AbsRel"}, lambda _: 4)
    assert line == {"": "l1_normal", "AbsRel": "+0.0000 (+0.0000 to +0.0000)"}
    rows[1] |= {"difference_low": 0.001, "difference_high": 0.002}
    assert "at more depth error" in verdict(rows)[0]


def test_flying_points_are_red_and_the_near_side_is_left():
    truth = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 20), np.linspace(-0.3, 0.3, 20)), -1).reshape(-1, 2)
    wall = np.column_stack([truth, np.full(len(truth), 2.0)])
    point = np.array([[0.0, 0.0, 1.6]])  # between the wall and the camera
    picture = figure.from_the_side(np.concatenate([wall, point]), wall, np.arange(401) == 400).astype(int)
    red, blue = (picture[..., a] - picture[..., b] > 60 for a, b in ((0, 2), (2, 0)))
    assert red.any()
    assert blue.any()
    columns = [np.nonzero(mask)[1].mean() for mask in (red, blue)]
    assert columns[1] == pytest.approx(figure.SIZE / 2, abs=2)
    assert columns[1] - columns[0] == pytest.approx(0.4 / figure.WIDE * figure.SIZE, abs=2)


@pytest.mark.parametrize(("size", "shown"), [(20, 32), (40, 48), (60, 64)])
def test_small_objects_are_shown_larger_in_whole_pixels(size, shown):
    mask = np.zeros((64, 64), bool)
    mask[64 - size :, 3 : 3 + size] = True  # at the lower border
    picture = np.where(mask[..., None], (200, 30, 30), (255, 255, 255)).astype(np.uint8)
    found = figure.closer(picture, mask)
    factor = figure.SIZE // shown
    assert (found[..., 1] < 255).sum() == size**2 * factor**2
    assert found.shape == (figure.SIZE, figure.SIZE, 3)


def test_a_scaled_prediction_is_shown_as_the_truth_and_an_empty_one_too():
    truth = 1.5 + 0.3 * torch.rand(1, 1, 16, 16)
    mask = torch.rand(1, 1, 16, 16) > 0.3
    k = torch.tensor([[[20.0, 0, 8], [0, 20.0, 8], [0, 0, 1]]])
    normal = torch.tensor([0.0, 0, -1])[None, :, None, None].expand(1, 3, 16, 16)
    batch = {"depth": truth, "mask": mask, "intrinsics": k, "normal": normal}
    same, scaled = (figure.shown(d, mask, batch) for d in (truth, figure.aligned(1.7 * truth, truth, mask)))
    for a, b in zip(same.cells, scaled.cells, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 1
    assert same.notes[0] == scaled.notes[0] == "0.0%"
    assert scaled.notes[2] == "0% fly"
    empty = figure.shown(truth, torch.zeros_like(mask), batch)
    assert all((cell == 255).all() for cell in empty.cells)


@pytest.mark.slow
def test_tiny_runs_give_the_table_and_the_figures(datasets, tmp_path):
    tiny = ["debug=tiny", f"paths.data={datasets}", "trainer.max_steps=1",
            "callbacks.media=null", "trainer.val_check_interval=1"]  # fmt: skip
    runs = tmp_path / "runs"
    chosen = {name: ("model=depth", *overrides) for name, overrides in VARIANTS.items()}
    for name, references in (("l1", "false"), ("l1_consistency", "true")):  # any run may have scored the rows
        given = ["--out", str(runs), "--only", name, f"callbacks.results.references={references}", *tiny]
        train_variants(chosen, "depth_losses", None, given)
    (line,) = analyse(runs, tmp_path / "out")
    assert line.startswith("l1_consistency ")
    with (tmp_path / "out" / "scores.csv").open() as stream:
        rows = {(r["variant"], r["score"]): r for r in csv.DictReader(stream)}
    assert float(rows["l1", "abs_rel"]["difference_mean"]) == 0
    assert ("l1", "normal_angle") not in rows
    assert float(rows["l1_consistency", "normal_angle"]["mean"]) > 0
    assert float(rows["true visible surface", "abs_rel"]["mean"]) == 0
    assert float(rows["true visible surface", "depth_normal_angle"]["mean"]) < 30
    sheet = Image.open(tmp_path / "out" / "depth_losses.png")
    assert sheet.width == 6 + 4 * (figure.SIZE + 6)  # image, truth and the two losses that there are
    assert (tmp_path / "out" / "errors.png").stat().st_size > 5_000


def test_a_folder_without_runs_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match=r"experiments\.depth_losses\.train"):
        analyse(tmp_path, tmp_path)
