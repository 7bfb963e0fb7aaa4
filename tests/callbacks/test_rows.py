"""Reference rows on a tiny dataset: a training view must find itself, and nothing depends on who found it first."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import default_collate

from lit3d.callbacks.clusters import Clusters
from lit3d.callbacks.encoded import Encoded
from lit3d.callbacks.rows import ROWS, ReferenceRows
from lit3d.data import ShapeDataModule
from lit3d.summary import NAMES
from lit3d.synthesis import GrammarSource, SynthesisSettings


class Pixels(torch.nn.Module):
    """A network whose code is the picture."""

    reads = ("image",)

    def code(self, batch):
        return batch["image"].flatten(1) - 0.5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    settings = SynthesisSettings(image_size=16, views=3, points=96)
    source = GrammarSource(objects_per_category=8, categories=("mug", "table"))
    data = ShapeDataModule("tiny", tmp_path_factory.mktemp("rows") / "d", source, settings, points=32, test_points=32)
    data.make()
    data.setup()
    return data


@pytest.fixture
def module():
    network = Pixels()
    return SimpleNamespace(
        network=network, metrics=SimpleNamespace(points=48), device=torch.device("cpu"),
        trainer=SimpleNamespace(is_global_zero=True), transfer_batch_to_device=lambda batch, device, index: batch,
    )  # fmt: skip


def test_by_features_a_training_image_finds_itself_with_n_points(data, module):
    train = data.dataset("train", points=48)
    batch = default_collate([train[i] for i in range(len(train))])
    found = Encoded(data, module, 10_000).points(batch, 48)
    assert torch.equal(found, batch["points"])


def test_by_features_the_largest_cosine_wins_among_evenly_spread_images(data, module):
    train, test = data.dataset("train"), data.dataset("test")
    encoded = Encoded(data, module, 5)
    assert encoded.chosen[0] == 0
    assert encoded.chosen[-1] == len(train) - 1
    assert len(encoded.chosen) == 5
    batch = default_collate([test[i] for i in range(len(test))])
    found = encoded.points(batch, 20)
    codes = module.network.code(default_collate([train[i] for i in encoded.chosen]))
    for i, code in enumerate(module.network.code(batch)):
        best = max(range(5), key=lambda j: float(torch.cosine_similarity(code, codes[j], dim=0)))
        assert torch.equal(found[i], train.truth(encoded.chosen[best])[:20])


def test_the_second_test_of_a_dataset_answers_the_same_without_training_a_classifier(data, monkeypatch):
    batch = default_collate([data.dataset("test")[i] for i in range(4)])
    first = Clusters(data, 24, 3)
    assert len(first.shapes) <= 3
    monkeypatch.setattr("lit3d.callbacks.clusters.fit", None)
    again = Clusters(data, 24, 3)
    assert torch.equal(first.points(batch), again.points(batch))
    assert first.points(batch).shape == (4, 24, 3)
    with pytest.raises(TypeError):
        Clusters(data, 25, 3)  # another count is another row


def test_all_rows_come_in_order_and_have_names(data, module):
    assert list(NAMES) == list(ROWS)
    rows = ReferenceRows(data, 48, clusters=4)
    rows.encode(module, 8)
    batch = default_collate([data.dataset("test")[i] for i in range(3)])
    found = rows.points(batch, "test")
    assert list(found) == list(ROWS)
    assert {tuple(points.shape) for points in found.values()} == {(3, 48, 3)}


def test_a_network_without_codes_and_zero_leave_rows_out(data, module):
    rows = ReferenceRows(data, 48, clusters=0)
    module.network = torch.nn.Identity()
    rows.encode(module, 8)
    batch = default_collate([data.dataset("test")[0]])
    assert list(rows.points(batch, "test")) == ["mean_shape", "retrieval", "oracle", "truth_resampled"]
