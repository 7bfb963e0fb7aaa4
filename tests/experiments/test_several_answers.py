import io
import json

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from experiments.runs import read_runs
from experiments.several_answers.figure import draw, print_table, rows_of
from lit3d.errors import UserError


def fake(folder, n, seed, loss="emd", **scores):
    folder.mkdir(parents=True)
    model = {"hypotheses": n} if n > 1 else {}  # as of runs before there were several
    config = {"model": model, "loss": {loss: {}}, "seed": seed}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "results.json").write_text(json.dumps({"test": scores}))


def several(covered, best, answers=8):
    return {"all_modes_covered": covered, "modes_covered": covered, "answers_on_modes": 0.5, "emd": 9.0,
            f"best_of_{answers}/emd": best, f"mean_of_{answers}/emd": 2 * best, "diversity": 0.1}  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    one = {"all_modes_covered": 0.0, "modes_covered": 0.5, "answers_on_modes": 0.2, "emd": 0.08}
    fake(tmp_path / "a" / "0", 1, 0, **one)
    for seed, covered in enumerate((0.8, 1.0, 0.9)):
        fake(tmp_path / "a" / f"2_{seed}", 2, seed, **several(covered, 0.05))
    fake(tmp_path / "b", 4, 0, "cd", **several(0.7, 0.04, answers=4))
    return tmp_path


def test_runs_are_grouped_by_loss_and_number_of_hypotheses(runs):
    rows = rows_of(read_runs([runs / "a", runs / "b"]))
    assert [(row.loss, row.hypotheses) for row in rows] == [("cd", 4), ("emd", 1), ("emd", 2)]
    cd, one, two = rows
    assert (two.mean("all_modes_covered"), two.spread("all_modes_covered")) == pytest.approx((0.9, 0.1))
    assert two.mean("mean_emd") == pytest.approx(0.1)
    assert one.mean("best_emd") == one.mean("mean_emd") == 0.08
    assert (one.mean("diversity"), one.spread("diversity")) == (0, 0)
    assert cd.mean("best_emd") == 0.04


def test_table_and_figure(runs, tmp_path):
    rows = rows_of(read_runs([runs]))
    console = Console(width=110, file=io.StringIO())
    print_table(rows, console)
    printed = console.file.getvalue()
    assert "90% ± 10%" in printed
    assert "0.0500 ± 0.0000" in printed
    draw(rows, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_runs_without_a_posterior_are_refused(tmp_path):
    fake(tmp_path / "a", 2, 0, emd=0.1)
    with pytest.raises(UserError, match="says nothing of modes"):
        rows_of(read_runs([tmp_path]))
