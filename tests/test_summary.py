"""The closing table at 100 columns: every cell whole and on one line, however wide the case."""

import io

import pytest
from rich.console import Console

from lit3d.summary import FURTHER, HEADS, LABEL, print_tables

# a failed object costs sqrt(3); a mean of failures is the widest distance there is
WORST = {"chamfer_l2sq": 6.0, "chamfer_l1": 1.7320508, "emd": 1.7320508}
FURNITURE = ("animal", "appliance", "bath", "bed", "bench", "cabinet", "chair", "container", "door_window",
             "electronics", "flat_road", "glasses and cutlery", "human", "instrument_sport", "lamp", "other", "plant",
             "plug_switch", "sofa", "vehicle")  # fmt: skip
POINTS = tuple(c for c in HEADS if c != "normal_consistency")  # what sets of points are scored by

ROWS = ("mean_shape", "retrieval", "oracle", "truth_resampled")


def scores(value=1.0):
    own = {c: WORST.get(c, value) for c in POINTS}
    return own | {f"{protocol}/fscore_tau": value for protocol in ("psgn_paper", "meshrcnn_p2m", "pix3d")}


def summary(model="pointset_two_branch", loss=("cd", "emd"), classes=FURNITURE):
    found = {"counts": {"n": 16384, "m": 10000}, "model": model, "loss": list(loss), "references": {}}
    for split in ("test", "test_authors"):
        found |= {
            split: scores(), f"{split}_by_class": {c: scores() for c in classes}, f"{split}_failures": 1056,
            f"{split}_coverage": 0.0, f"{split}_gap_closed": dict.fromkeys(POINTS, -123.45),
            f"{split}_beats_retrieval": {"fscore_5pct": {"mean": -0.123, "low": -0.234, "high": 0.012}},
        }  # fmt: skip
        found["references"][split] = {row: {"mean": scores()} for row in ROWS}
    return found


def printed(found, width=100):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_tables(found, console)
    return console.file.getvalue().splitlines()


def test_the_widest_case_has_no_wrapped_and_no_cut_cell():
    lines = printed(summary())
    assert max(len(line) for line in lines) <= 100
    assert not [line for line in lines if "…" in line]
    whole = {f"  {c}" for c in FURNITURE} | {"gap closed", "mean shape", "retrieval by pixels", "oracle retrieval",
                                             "truth resampled", "pointset_two_branch, cd+emd"}  # fmt: skip
    for label in whole:
        rows = [line for line in lines if line[1:].startswith(label + " ")]
        assert len(rows) == 2, label  # one a split
        for row in rows:
            assert len(row[len(label) + 1 :].split()) == len(POINTS), row
    (head, _) = (line for line in lines if HEADS["chamfer_l2sq"] in line)
    assert all(name in head for name in (HEADS[c] for c in POINTS))
    assert sum("6.00000" in line for line in lines) == 2 * (1 + 4 + len(FURNITURE))
    assert sum(line.count("<-999%") == len(POINTS) for line in lines) == 2
    # what stands above and below a table is one line each
    assert sum(line.startswith("test: 16,384 points against 10,000, mean over images, unit =") for line in lines) == 1
    verdict = "beats retrieval by pixels? cannot be told: F 5 % -0.123 (95 % interval -0.234 to +0.012)"
    assert lines.count(verdict) == 2


@pytest.mark.parametrize("name", ["x" * (LABEL - 2), "a category with a very long name, " * 3])
def test_a_name_of_any_length_leaves_the_numbers_whole(name):
    lines = printed(summary(model=name, classes=(name,)))
    assert max(len(line) for line in lines) <= 100
    assert sum("6.00000" in line for line in lines) == 2 * (1 + 4 + 1)
    assert any("…" in line for line in lines) is (len(name) > LABEL or len(f"{name}, cd+emd") > LABEL)


def test_a_ninth_score_leaves_all_numbers_whole():
    found = summary(classes=("lamp", "a category with a long name"))
    nine = {c: WORST.get(c, 1.0) for c in HEADS}
    for split in ("test", "test_authors"):
        found[split] = nine
        found[f"{split}_by_class"] = dict.fromkeys(found[f"{split}_by_class"], nine)
        found[f"{split}_gap_closed"] = dict.fromkeys(HEADS, -123.45)
        found["references"][split] = {row: {"mean": nine} for row in (*ROWS, "retrieval_by_features")}
    lines = printed(found)
    assert max(len(line) for line in lines) <= 100
    for label in ("lamp", "mean shape", "retrieval by features", "gap closed"):
        rows = [line for line in lines if line.strip().startswith(label + " ")]
        assert len(rows) == 2
        assert all(len(row.split(label)[1].split()) == len(HEADS) and "…" not in row for row in rows), label


def test_several_answers_have_rows_and_lines_of_their_own():
    found = summary(classes=("lamp",))
    found["test"] |= {f"{kind}_of_8/{c}": v for kind in ("best", "mean") for c, v in scores().items()}
    found["test"] |= {"diversity": 0.125, "modes_covered": 0.75, "all_modes_covered": 0.5, "answers_on_modes": 0.625}
    lines = printed(found)
    for label in ("best of 8 answers", "mean of 8 answers"):
        (row,) = (line for line in lines if line[1:].startswith(label + " "))
        assert len(row[len(label) + 1 :].split()) == len(POINTS)
    assert "diversity 0.1250: the mean EMD between two answers to one image" in [line.strip() for line in lines]
    assert "modes covered 75.0%, all of an image's 50.0%; answers on a mode 62.5%" in [line.strip() for line in lines]
    assert max(len(line) for line in lines) <= 100


def test_a_depth_map_has_tables_of_its_own_that_name_the_visible_part():
    found = summary(classes=("lamp",))
    tables = [table for title, table in FURTHER.items() if "visible part only" in title]
    heads = {c for table in tables for c in table}
    depth = {c: 179.123 if "angle" in c else 1.7321 for c in heads if not c.startswith("normal")}  # no normal head
    found["test"] |= depth
    found["test_by_class"]["lamp"] |= depth
    found["references"]["test"]["median_plane"] = {"mean": scores() | depth}
    lines = printed(found)
    assert max(len(line) for line in lines) <= 100
    assert not [line for line in lines if "…" in line]
    assert sum("visible part only" in line for line in lines) == len(tables) == 2
    rows = [line for line in lines if line[1:].startswith("median plane ")]
    assert [len(row.split()) - 2 for row in rows] == [len(POINTS), 8, 5]
    assert "179.123" in rows[2]
