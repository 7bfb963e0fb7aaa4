"""Which file belongs to which view, and what may be wrong with its content."""

import numpy as np
import pytest
import torch

from lit3d.errors import UserError
from lit3d.given import GivenPredictions

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
STORED = [(name, view) for name in ("chair", "chair_1", "lib/lamp 2", "a%2Fb") for view in range(3)]
WANTED = [row for row in STORED if row[1] < 2]


def opened(folder, points=64):
    return GivenPredictions(folder, WANTED, set(STORED), points)


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            np.savez(path, points=SQUARE)
        else:
            path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("chair_0.npz", ("chair", 0)),
        ("chair/01.obj", ("chair", 1)),
        ("chair_1.npz", ("chair", 1)),
        ("chair_1_0.npz", ("chair_1", 0)),
        ("chair_1/0.npz", ("chair_1", 0)),
        ("lib/lamp 2/1.npz", ("lib/lamp 2", 1)),
        ("lib%2Flamp%202_1.OBJ", ("lib/lamp 2", 1)),
        ("lib/lamp 2_001.npz", ("lib/lamp 2", 1)),
        ("a%252Fb_1.npz", ("a%2Fb", 1)),
    ],
)
def test_names_with_separators_and_escapes_find_their_view(tmp_path, name, key):
    put(tmp_path, name)
    assert list(opened(tmp_path).files) == [key]


def test_hidden_files_materials_and_records_are_left_alone(tmp_path):
    put(tmp_path, "chair_0.npz", ".chair_1.npz", ".cache/x_1.npz", "chair_0.mtl", "notes.json")
    assert list(opened(tmp_path).files) == [("chair", 0)]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "holds no file"),
        (["chair_0.glb", "readme.txt"], "holds only .glb, .txt files"),
        (["chair_0.npz", "sofa_0.npz", "chair.npz"], "2 of 3 files in"),
        (["sofa_0.npz"], "sofa_0.npz; files are <object>_<view>"),
        (["chair_2.npz"], "other views of this dataset: 1 (see split and data.test_views)"),
        (["chair_-1.npz"], "belong to no view"),
        ([f"sofa_{i}.npz" for i in range(9)], "sofa_0.npz, sofa_1.npz, sofa_2.npz, ...;"),
        (["chair_0.npz", "chair/0.obj"], "1 views have more than one file"),
        (["chair_0.npz", "chair_00.npz"], "such as view 0 of chair: chair_0.npz, chair_00.npz; keep one of each"),
    ],
)
def test_a_folder_that_cannot_be_right_is_refused_in_one_sentence(tmp_path, names, sentence):
    put(tmp_path, *names)
    with pytest.raises(UserError) as caught:
        opened(tmp_path)
    assert sentence in str(caught.value)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(UserError, match="absent is not a folder"):
        opened(tmp_path / "absent")


def arrays(**named):
    return lambda path: np.savez(path, **named)


def text(content):
    return lambda path: path.write_text(content)


@pytest.mark.parametrize(
    ("suffix", "write", "reason"),
    [
        ("npz", text("no zip"), "cannot be read"),
        ("npz", text(""), "cannot be read"),
        ("npz", arrays(xyz=SQUARE), "expected an array 'points', found xyz"),
        ("npz", arrays(points=SQUARE[:, :2]), "must be numbers of shape (n, 3), it is float32 (4, 2)"),
        ("npz", arrays(points=np.array([None, 1])), "cannot be read (ValueError: Object arrays cannot be loaded"),
        ("npz", arrays(points=SQUARE.astype(complex)), "must be numbers"),
        ("npz", arrays(points=np.zeros((0, 3))), "holds no points"),
        ("npz", arrays(points=np.full((4, 3), np.inf)), "NaN or infinite"),
        ("npz", arrays(points=SQUARE * 1e30), "beyond 1e+09 object sides"),
        ("npz", arrays(points=SQUARE, faces=np.array([[0, 1, 4]])), "a face names vertex 4 of 4"),
        ("npz", arrays(points=SQUARE, faces=np.array([[-1, 1, 2]])), "a face names vertex"),
        ("npz", arrays(points=SQUARE, faces=np.array([[0.0, 1, 2]])), "must be whole numbers"),
        ("npz", arrays(points=SQUARE, faces=np.array([[0, 1, 1]])), "the surface has no area"),
        ("obj", text(""), "holds no points"),
        ("obj", text("v 0 0 0\nf 1 2 3\n"), "cannot be read (IndexError"),
        ("obj", text("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"), "NaN or infinite"),
        ("ply", text("ply"), "cannot be read"),
    ],
)  # fmt: skip
def test_content_that_cannot_be_scored_is_a_failure_with_its_reason(tmp_path, suffix, write, reason):
    write(tmp_path / f"chair_0.{suffix}")
    predictions = opened(tmp_path)
    points = predictions("chair", 0)
    assert points.shape == (64, 3)
    assert points.isnan().all()
    assert reason in predictions.table()[0]["failure"]
    assert predictions.counts() == {"least": 0, "most": 0, "fewer": 0, "sets": 0}


def test_one_point_and_parts_of_a_file_are_read(tmp_path):
    (tmp_path / "chair_0.obj").write_text("v 1 2 3\n")
    np.savez(tmp_path / "chair_1.npz", points=SQUARE, faces=np.zeros((0, 3), int))
    parts = "".join(f"o p{i}\nusemtl m{i}\n" + "".join(f"v {x} {y} {i}\n" for x, y, _ in SQUARE)
                    + "f " + " ".join(str(4 * i + k) for k in range(1, 5)) + "\n" for i in range(2))  # fmt: skip
    (tmp_path / "chair_1_0.obj").write_text(parts)
    predictions = opened(tmp_path, points=1000)
    assert torch.equal(predictions("chair", 0), torch.tensor([[1.0, 2, 3]]))
    assert torch.equal(predictions("chair", 1), torch.from_numpy(SQUARE))
    both = predictions("chair_1", 0)
    assert both[:, 2].unique().tolist() == [0, 1]
    assert 0.4 < float(both[:, 2].mean()) < 0.6
    assert torch.equal(both, predictions("chair_1", 0))
    assert [row["size"] for row in predictions.table()] == [1, 4, 4]
