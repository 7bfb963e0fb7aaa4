"""Branches of known predictions; a run writes their numbers and their picture."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lit3d.build import instantiate, plain
from lit3d.callbacks.branch_numbers import measure
from lit3d.callbacks.branch_pictures import branch_grid, colours_by_uv, xyz_image
from lit3d.callbacks.branches import layout_of, preview_with_parts
from lit3d.config import compose
from lit3d.metrics.parameterisation import flat_ratio, grid_cells
from lit3d.networks.heads import FullyConnectedHead, TwoBranchHead
from lit3d.structures import PointSet
from lit3d.training import train

LOOSE, GRID = 64, 192


class Known(torch.nn.Module):
    """Fully connected points are true points, the grid is a flat sheet outside the object; object `broken` is NaN."""

    device = "cpu"

    def __init__(self, broken=None):
        super().__init__()
        head = TwoBranchHead(LOOSE + GRID, 8, (4, 8), share=LOOSE / (LOOSE + GRID))
        self.network, self.broken = SimpleNamespace(head=head), broken
        self.sheet = torch.nn.functional.pad(head.layout.uv[LOOSE:], (0, 1), value=1.0)

    def transfer_batch_to_device(self, batch, device, index):
        return batch

    def forward(self, batch):
        points = torch.cat([batch["points"][:, :LOOSE], self.sheet.expand(len(batch["points"]), -1, -1)], 1)
        points[[name == self.broken for name in batch["object"]]] = torch.nan
        return PointSet(points)


@pytest.fixture(scope="module")
def data(datasets):
    config = plain(compose("run", ["debug=tiny", f"paths.data={datasets}", "paths.output=x"]))
    made = instantiate(config["data"], seed=0)
    made.make()
    made.setup()
    return made


def test_known_branches_get_their_numbers_and_a_broken_object_is_left_out(data):
    objects = sorted({name for name, _ in data.dataset("test").rows})
    assert measure(Known(), data).summary()["samples"] == len(objects)
    found = measure(Known(objects[0]), data).summary()
    assert (found["samples"], found["failures"]) == (len(objects) - 1, 1)
    assert (found["fc/points"], found["upconv/points"]) == (LOOSE, GRID)
    cells = grid_cells(Known().network.head.layout.uv)
    width, height = cells.shape[1], cells.shape[0]
    assert found["grid"] == [height, width]
    assert found["grid/fold_over_share"] == 0
    assert found["grid/neighbour_ratio"] == pytest.approx(found["grid/neighbour_ratio_flat"], rel=0.1)  # not square
    assert found["grid/neighbour_ratio_flat"] == pytest.approx(flat_ratio(cells))
    kinds = ("body", "plate", "rod")
    assert sum(found[f"fc/share/{k}"] for k in kinds) == pytest.approx(1)
    for kind in kinds:
        if found[f"fc/recall_5pct/{kind}"] is not None:
            assert found[f"fc/share/{kind}"] == pytest.approx(found[f"truth/share/{kind}"], abs=0.08)
            assert found[f"fc/recall_5pct_equal/{kind}"] == pytest.approx(found[f"fc/recall_5pct/{kind}"])
            assert found[f"upconv/recall_5pct_equal/{kind}"] <= found[f"upconv/recall_5pct/{kind}"]
            assert found[f"fc/recall_5pct/{kind}"] > found[f"fc/recall_5pct_random/{kind}"]
            assert found[f"fc/recall_5pct/{kind}"] == pytest.approx(found[f"fc/recall_5pct_truth/{kind}"], abs=0.15)
    json.dumps(found, allow_nan=False)


def test_only_predictions_that_are_not_finite(data):
    class Broken(Known):
        def forward(self, batch):
            return PointSet(torch.full((len(batch["points"]), LOOSE + GRID, 3), torch.nan))

    found = measure(Broken(), data, samples=2).summary()
    assert (found["samples"], found["failures"]) == (0, 2)


def test_labels_of_parts_mean_the_same_in_all_objects_of_a_category(data):
    found = measure(Known(), data)
    assert found.objects == sorted(found.objects)
    names = [data.opened.description(name)["part_names"] for name in found.objects]
    meaning = {}
    for labels, name, category in zip(found.labels["fc"], found.objects, found.categories, strict=True):
        parts = data.opened.description(name)["part_names"]
        own = data.opened.point_array(name, "point_parts", 0, LOOSE)
        for label, part in zip(labels, own, strict=True):  # these points are true points: their part is known
            assert meaning.setdefault(int(label), (category, parts[part])) == (category, parts[part])
    assert len(meaning) <= sum(len(set(n)) for n in names)


def test_the_picture_has_a_row_a_view_and_shows_both_branches(data):
    samples = preview_with_parts(data, "test")[:2]
    module = Known()
    picture = branch_grid(module, samples, module.network.head.layout, size=64)
    assert picture.width >= 7 * 64
    branches = np.asarray(picture)[30:160, 2 * 70 : 4 * 70].astype(int)
    red, green, blue = branches[..., 0], branches[..., 1], branches[..., 2]
    assert ((red > blue + 100) & (green > blue)).sum() > 20  # orange: fully connected
    assert ((blue > red + 60) & (green < blue)).sum() > 20  # blue: upconvolution


def test_colours_of_the_corners_and_the_xyz_image():
    corners = colours_by_uv(np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]))
    assert len(np.unique(corners.round(3), axis=0)) == 4
    points = np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5], [0.5, -0.5, 0]])
    image = xyz_image(points, np.array([[0, 1], [2, -1]]), 4)
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[0, 3].tolist() == [255, 255, 255]
    assert image[3, 0].tolist() == [255, 0, 128]
    assert image[3, 3].tolist() == [255, 255, 255]


def test_a_head_without_a_grid_has_nothing_to_show():
    assert layout_of(SimpleNamespace(network=SimpleNamespace(head=FullyConnectedHead(4, 8)))) is None
    assert layout_of(SimpleNamespace(network=SimpleNamespace())) is None
    assert layout_of(Known()) is not None


def test_a_run_writes_both(datasets, tmp_path):
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={tmp_path}", "model/head=two_branch",
                 "callbacks.media=null", "callbacks.results.references=false", "trainer.max_steps=1",
                 "metrics.emd=false"]  # fmt: skip
    train(compose("run", overrides))
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["parameterisation"]["grid/fold_over_share"] >= 0
    assert found["parameterisation"]["upconv/purity"] > 0
    assert len(found["parameterisation"]["upconv/purity_permuted"]) == 5
    assert {"test", "seconds"} <= set(found)
    with Image.open(tmp_path / "media" / "parameterisation.png") as picture:
        assert picture.width > 1000
