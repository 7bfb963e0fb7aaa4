import numpy as np
import pytest
import torch

from lit3d.callbacks.references import beats
from lit3d.callbacks.results import _mean
from lit3d.callbacks.solids import inside_of, retrieved_iou
from lit3d.synthesis.queries import uniform_queries


class Reader:
    """Boxes of other sizes in object axes, seen by one camera."""

    boxes = {"flat": (0.5, 0.1, 0.5), "tall": (0.1, 0.5, 0.1)}  # noqa: RUF012

    def __init__(self):
        rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
        self.pose = np.eye(4)
        self.pose[:3, :3], self.pose[:3, 3] = rotation * np.sign(np.linalg.det(rotation)), (0, 0, 2)

    def knows_inside(self, name):
        return name in self.boxes

    def camera(self, name, view):
        return np.eye(3), self.pose

    def queries(self, name):
        places = uniform_queries(0, 40_000, np.zeros(3))
        return places, self.inside(name, places)

    def inside(self, name, places):
        return (np.abs(places) <= np.array(self.boxes[name])).all(1)


@pytest.mark.parametrize("frame", ["viewer", "object"])
def test_a_found_object_stands_as_its_view_shows_it(frame):
    reader = Reader()
    own = (np.random.default_rng(1).random((3000, 3)) - 0.5) * 1.6
    turn = reader.pose[:3, :3] if frame == "viewer" else np.eye(3)
    found = inside_of(reader, ("flat", 0), own @ turn.T, frame)
    expected = reader.inside("flat", own)
    assert (found == expected).mean() > 0.985  # but for places within half a spacing of the surface
    assert not found[(np.abs(own) > 0.56).any(1)].any()
    assert np.isnan(inside_of(reader, ("open", 0), own, frame)).all()


def test_iou_of_what_was_found():
    reader = Reader()
    own, known = reader.queries("flat")
    queries = torch.from_numpy(own @ reader.pose[:3, :3].T.astype(np.float32))[None].repeat(4, 1, 1)
    truth = torch.from_numpy(np.stack([known, known, known, known])).float()
    truth[3] = torch.nan
    rows = [("flat", 0), ("tall", 0), ("open", 0), ("flat", 0)]
    found = retrieved_iou(reader, rows, {"queries": queries, "occupancy": truth}, "viewer")
    tall = reader.inside("tall", own)
    assert float(found[0]) == 1
    assert float(found[1]) == pytest.approx((tall & known).sum() / (tall | known).sum(), abs=0.01)
    assert found[2:].isnan().all()


def test_what_nobody_knows_is_left_out_of_means_and_comparisons():
    nan = float("nan")
    assert _mean([1.0, nan, 3.0]) == 2
    assert np.isnan(_mean([nan]))
    scores = ("x", 0.5, 0.2), ("y", nan, 0.3), ("z", 0.4, nan)
    rows = [{"object": o, "iou": a, "retrieval/iou": b} for o, a, b in scores]
    assert beats(rows, "retrieval", ["iou"], lambda _: True)["iou"]["mean"] == pytest.approx(0.3)
    assert beats(rows[1:], "retrieval", ["iou"], lambda _: True) == {}
