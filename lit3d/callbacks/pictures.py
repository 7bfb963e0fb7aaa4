"""Pictures as rows of reference see them: small, on grey, without what a model has learnt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

SIDE = 16  # pictures are compared as SIDE x SIDE averages


def pictures(reader: Any, rows: Sequence[tuple[str, int]]) -> Float[Tensor, "r d"]:
    """SIDE x SIDE averages of (object, view) on a grey background, in [0, 1], three channels flattened."""
    found = []
    for start in range(0, len(rows), 256):
        part = np.stack([reader.image(name, view) for name, view in rows[start : start + 256]])
        rgba = torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2))).float() / 255
        on_grey = rgba[:, :3] * rgba[:, 3:] + 0.5 * (1 - rgba[:, 3:])
        found.append(adaptive_avg_pool2d(on_grey, SIDE).flatten(1))
    return torch.cat(found)
