"""Fresh views, rendered inside the loader: an object never looks the same twice."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from lit3d.data.sample import IMAGE_KEYS
from lit3d.data.views import Seen, ViewDataset
from lit3d.errors import UserError
from lit3d.synthesis.lights import jitter_colours
from lit3d.synthesis.pipeline import Prepared, SynthesisSettings, prepared, render_views

HELD = 256  # prepared meshes in memory: preparing one costs as much as a view


class OnlineViewDataset(ViewDataset):
    """As `ViewDataset`, but an item asked for as (epoch, index) is rendered from a new camera under new lights.

    Args:
        settings: cameras, lights, size and sampling of the views; those the dataset was made with.

    Raises:
        UserError: the dataset holds no meshes.
    """

    def __init__(self, *args: Any, settings: SynthesisSettings, **options: Any) -> None:
        super().__init__(*args, **options)
        if not self.reader.info["settings"].get("keep_meshes"):
            raise UserError(
                f"data.views=online renders from stored meshes, but {self.reader.root} holds none: make it with "
                "data.synthesis.keep_meshes=true"
            )
        self.settings = replace(settings, views=1)
        self._open()

    def _open(self) -> None:
        self.prepared = lru_cache(maxsize=HELD)(self._prepare)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "prepared"}  # a cache does not travel to workers

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _prepare(self, name: str) -> Prepared:
        return prepared(self.reader.mesh(name))

    def seen(self, name: str, view: int, rng: np.random.Generator | None) -> Seen:
        """A new picture in training, the stored one in evaluation."""
        if rng is None:
            return super().seen(name, view, rng)
        cameras, lights, colours = rng.spawn(3)
        ready = self.prepared(name)
        if self.settings.colour_jitter:
            tinted = jitter_colours(colours, ready.shape.colours, self.settings.colour_jitter)
            ready = replace(ready, mesh=ready.mesh.recoloured(tinted))
        (record,) = render_views(ready, self.settings, cameras, lights)
        geometry = {k: getattr(record, k) for k in IMAGE_KEYS if k in self.looked_at}
        return Seen(record.image, record.intrinsics, record.object_to_camera, geometry)
