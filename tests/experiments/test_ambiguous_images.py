"""Free minimisers where the answer is known, what counts as nearer, and the whole analysis on tiny runs."""

import csv

import pytest
import torch

from experiments.ambiguous_images.analyse import Answers, analyse, rows_of, shares, unique_images
from experiments.ambiguous_images.minimiser import free_minimiser
from lit3d import ops
from lit3d.errors import UserError
from lit3d.losses import cd, emd


def two_clusters(b=2, m=60, gap=0.6):
    """A tight cluster left and one right: members whose mean shapes are known."""
    noise = 0.01 * torch.randn(b, 2, m, 3, generator=torch.Generator().manual_seed(1))
    return noise + torch.tensor([[-gap / 2, 0, 0], [gap / 2, 0, 0]])[:, None]


@pytest.mark.parametrize(("p", "side"), [(0.8, -1), (0.3, 1)])
def test_the_free_minimiser_of_the_emd_is_the_likelier_member(p, side):
    x = free_minimiser(emd, torch.tensor([[p, 1 - p]] * 2), two_clusters(), 16, steps=100)
    assert x.shape == (2, 16, 3)
    assert (x[..., 0] * side > 0.25).all()


def test_the_free_minimiser_of_cd_keeps_points_at_both_members():
    x = free_minimiser(cd, torch.tensor([[0.8, 0.2]]), two_clusters(1), 30, steps=150)
    assert int((x[..., 0] < -0.2).sum()) >= 1
    assert int((x[..., 0] > 0.2).sum()) >= 1


def test_squared_cost_has_the_weighted_mean():
    def squared(x, y):
        return ops.emd(x, y, squared=True)

    members = torch.cat([two_clusters(1), 9 + two_clusters(1)[:, :1]], dim=1)
    x = free_minimiser(squared, torch.tensor([[0.75, 0.25, 0.0]]), members, 16, steps=120)
    assert float(x[..., 0].mean()) == pytest.approx(-0.15, abs=0.01)  # a member of probability 0 has no weight
    assert float(x[..., 0].std()) < 0.02


def test_a_row_says_to_what_the_output_is_nearest():
    members = two_clusters(1)
    middle, ghost = members[:, 0] + torch.tensor([0.3, 0, 0]), members.flatten(1, 2)[:, ::2]
    sample = {"object": "a", "view": 0, "category": "k", "posterior": torch.tensor([0.5, 0.5]),
              "posterior_points": members[0]}  # fmt: skip
    near = Answers([sample], members[:, :, :40], [ghost[:, :40], middle[:, :40]], [ghost[:, 10:50], middle[:, 20:]])
    rows = list(rows_of(near, ["cd", "emd"]))
    assert [(r["loss"], r["nearer_than_other"], r["beyond_members"], r["minimiser_is_member"]) for r in rows] == [
        ("cd", 1, 1, 0), ("emd", 1, 1, 0)]  # fmt: skip
    swapped = Answers([sample], members[:, :, :40], near.free, near.network[::-1])
    assert [r["nearer_than_other"] for r in rows_of(swapped, ["cd", "emd"])] == [0, 0]
    collapsed = Answers([sample], members[:, :, :40], [ghost[:, :40], members[:, 1, :40]], [members[:, 0, 20:]] * 2)
    cd_row, emd_row = rows_of(collapsed, ["cd", "emd"])
    assert (cd_row["beyond_members"], cd_row["minimiser_is_member"]) == (0, 0)
    assert (emd_row["beyond_members"], emd_row["minimiser_is_member"]) == (0, 1)  # nearer to the other member
    table = shares([*rows, cd_row, emd_row])
    assert [(r["loss"], r["kind"], r["images"], r["both"]) for r in table] == [
        ("cd", "k", 2, 0.5), ("cd", "all", 2, 0.5), ("emd", "k", 2, 0.5), ("emd", "all", 2, 0.5)]  # fmt: skip


def trained(datasets, folder, loss, *more):
    from lit3d.config import compose
    from lit3d.training import train

    tiny = ["debug=tiny", f"paths.data={datasets}", f"paths.output={folder}", "callbacks.media=null", "test=false",
            "trainer.max_steps=1", "trainer.val_check_interval=1", f"loss={loss}", *more]  # fmt: skip
    train(compose("run", tiny))
    return folder


@pytest.mark.slow
def test_tiny_runs_give_the_table_and_the_figure(datasets, tmp_path):
    runs = [trained(datasets, tmp_path / loss, loss, "data=ambiguous") for loss in ("cd", "emd")]
    table = analyse(runs, tmp_path / "out", images=3, points=64, steps=3)
    assert [r["images"] for r in table if r["kind"] == "all"] == [3, 3]
    with (tmp_path / "out" / "images.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [r["loss"] for r in rows] == ["cd", "emd"] * 3
    assert (tmp_path / "out" / "ambiguous_images.png").stat().st_size > 10_000
    with pytest.raises(UserError, match="both runs were trained with loss cd"):
        analyse([runs[0], runs[0]], tmp_path / "out", 1, 64, 1)
    with pytest.raises(UserError, match="members have 512 points in this dataset"):
        analyse(runs, tmp_path / "out", 1, 600, 1)
    with pytest.raises(UserError, match="a network predicts 256 points"):
        analyse(runs, tmp_path / "out", 1, 300, 1)


def test_twins_count_as_one_image():
    class Data:
        def __init__(self):
            names = ["a-left", "a-right", "b-left", "b-right"]
            facts = [type("Row", (), {"object": n, "facts": {"seen": n[0]}}) for n in names]
            self.opened = type("Reader", (), {"objects": facts})

        def dataset(self, split):
            rows = [(entry.object, view) for entry in self.opened.objects for view in range(2)]
            return type("Set", (), {"rows": rows, "__getitem__": lambda _, i: rows[i]})()

    assert unique_images(Data(), None) == [("a-left", 0), ("a-left", 1), ("b-left", 0), ("b-left", 1)]
    assert unique_images(Data(), 2) == [("a-left", 0), ("b-left", 1)]
