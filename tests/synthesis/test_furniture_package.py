"""The real furniture: run where Debian's package is at hand (LIT3D_FURNITURE: a folder it was unpacked to)."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lit3d.synthesis import FurnitureSource, SynthesisSettings
from lit3d.synthesis.pipeline import object_generator, prepared, render_views
from lit3d.synthesis.shape import UnusableMeshError
from lit3d.synthesis.store.record import touches_border

PLACES = [Path(os.environ.get("LIT3D_FURNITURE", "")), Path("/usr/share/sweethome3d/furniture")]
ROOT = next((place for place in PLACES if list(place.rglob("*.sh3f"))[:1]), None) if PLACES else None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ROOT is None, reason="needs Debian's sweethome3d-furniture: see README, Datasets"),
]


@pytest.fixture(scope="module")
def source():
    return FurnitureSource(root=ROOT)


def test_authors_and_models_never_cross_a_split(source):
    items = source.items()
    assert len(items) > 760
    sides = {}
    for item in items:
        sides.setdefault((item.facts["creator"], item.facts["name"], item.category), set()).add(item.split)
    assert all(len(splits) == 1 for splits in sides.values())
    held_out = {i.facts["creator"] for i in items if i.split == "test_authors"}
    assert not held_out & {i.facts["creator"] for i in items if i.split != "test_authors"}
    assert all(Counter(i.split for i in items)[s] > 40 for s in ("val", "test", "test_authors"))
    assert "CC-BY" in source.attribution()


def test_hardly_any_view_touches_the_border(source):
    items = source.items()[::4]
    views, touching, unusable = 0, 0, 0
    for item in items:
        rng = object_generator(0, item.object)
        try:
            ready = prepared(source.load(item))
        except UnusableMeshError:
            unusable += 1
            continue
        for view in render_views(ready, SynthesisSettings(views=4, samples=1), rng, np.random.default_rng(0)):
            views += 1
            touching += touches_border(view.mask)
    assert unusable <= 2
    assert views > 700
    assert touching / views < 0.002  # what is left after drawing such a camera again
