"""Run folders -> the grid over the amount of data, and pairs of runs with and without a category."""

import json

import pytest
import yaml

from experiments.data_size.figure import draw, grid_of, pairs_of, print_tables
from experiments.runs import read_runs
from lit3d.errors import UserError


def write_run(root, name, score, objects=40, views=8, leave_out=(), seed=0, steps=100):
    """A run folder with `score` on the category mug, half of it on chair, and rows below and above."""

    def classes(factor):
        return {"mug": {"fscore_5pct": factor * score}, "chair": {"fscore_5pct": factor * score / 2}}

    def row(factor):
        return {"mean": {"fscore_5pct": 0.75 * factor * score}, "by_class": classes(factor)}

    folder = root / name
    folder.mkdir(parents=True)
    data = {"train_objects": objects, "train_views": views, "leave_out": leave_out}
    config = {"data": data, "seed": seed, "trainer": {"max_steps": steps}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    gain = {"mean": score / 10, "low": score / 20, "high": score / 5}
    results = {
        "test": {"fscore_5pct": 0.75 * score}, "test_by_class": classes(1), "counts": {"n": 1024},
        "test_beats_retrieval": {"fscore_5pct": gain},
        "references": {"test": {"retrieval": row(0.5), "oracle": row(1.1)}},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))


def test_runs_are_found_below_a_sweep_and_a_scoreless_folder_is_no_run(tmp_path):
    write_run(tmp_path, "sweep/1_b", 0.6)
    write_run(tmp_path, "sweep/0_a", 0.4)
    (tmp_path / "sweep/2_failed").mkdir()
    runs = read_runs([tmp_path / "sweep"])
    assert [run.folder.name for run in runs] == ["0_a", "1_b"]
    assert runs[1].score("fscore_5pct") == pytest.approx(0.45)
    assert runs[1].score("fscore_5pct", "chair") == pytest.approx(0.3)
    assert runs[1].score("fscore_5pct", "mug", "oracle") == pytest.approx(0.66)
    with pytest.raises(UserError, match="has no fscore_5pct of the row 'mean_shape' on all categories"):
        runs[0].score("fscore_5pct", row="mean_shape")
    with pytest.raises(UserError, match="has no fscore_5pct of the model on bed"):
        runs[0].score("fscore_5pct", "bed")
    with pytest.raises(UserError, match="holds no finished run: expected a run folder or a sweep"):
        read_runs([tmp_path / "sweep/2_failed"])


def test_the_grid_is_ordered_averages_seeds_and_leaves_other_runs_out(tmp_path):
    write_run(tmp_path, "a", 0.8, objects=150)
    write_run(tmp_path, "b", 0.4, objects=10)
    write_run(tmp_path, "c", 0.6, objects=10, seed=1)
    write_run(tmp_path, "d", 0.2, objects=10, views=1)
    write_run(tmp_path, "e", 0.1, leave_out=["mug"])
    write_run(tmp_path, "f", 0.1, objects=None)
    cells = grid_of(read_runs([tmp_path]))
    assert [(cell.objects, cell.views) for cell in cells] == [(10, 1), (10, 8), (150, 8)]
    assert cells[1].scores[None] == pytest.approx(0.375)
    assert cells[1].scores["retrieval"] == pytest.approx(0.75 * 0.25)
    assert cells[2].gain == pytest.approx((0.08, 0.04, 0.16))


def test_a_category_left_out_is_compared_with_the_run_that_differs_in_nothing_else(tmp_path):
    write_run(tmp_path, "whole", 0.8)
    write_run(tmp_path, "fewer steps", 0.3, steps=50)
    write_run(tmp_path, "without mug", 0.2, leave_out=["mug"])
    write_run(tmp_path, "without chair", 0.6, leave_out="chair")
    write_run(tmp_path, "other seed", 0.6, leave_out="chair", seed=1)
    chair, mug = pairs_of(read_runs([tmp_path]))
    assert (chair.category, chair.seen[None], chair.unseen[None]) == ("chair", pytest.approx(0.4), pytest.approx(0.3))
    assert (mug.category, mug.seen["oracle"], mug.unseen["oracle"]) == (
        "mug", pytest.approx(0.88), pytest.approx(0.22)
    )  # fmt: skip


def test_tables_and_figure_of_a_whole_sweep_and_of_a_part(tmp_path, capsys):
    write_run(tmp_path / "runs", "whole", 0.8)
    runs = read_runs([tmp_path / "runs"])
    draw(grid_of(runs), pairs_of(runs), tmp_path / "part.png")
    write_run(tmp_path / "runs", "few", 0.5, objects=10, views=1)
    write_run(tmp_path / "runs", "without", 0.4, leave_out=["chair"])
    runs = read_runs([tmp_path / "runs"])
    draw(grid_of(runs), pairs_of(runs), tmp_path / "whole.png")
    assert (tmp_path / "whole.png").stat().st_size > (tmp_path / "part.png").stat().st_size > 0
    print_tables(grid_of(runs), pairs_of(runs))
    out = capsys.readouterr().out
    assert "+0.080 (+0.040 to +0.160)" in out
    assert "0.400 -> 0.200" in out
