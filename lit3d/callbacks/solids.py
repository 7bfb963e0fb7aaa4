"""How much of a solid overlaps with what recognition alone would answer: the object of another image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from lit3d.data import frames
from lit3d.metrics import iou_of
from lit3d.synthesis.queries import HALF


def inside_of(reader: Any, row: tuple[str, int], places: Float[np.ndarray, "q 3"], frame: str) -> np.ndarray:
    """(q,) 1 where a place is inside of a training object that stands as its own view shows it; NaN: nobody knows.

    The answer is that of the nearest of the object's stored uniform queries, so surfaces are blurred by about half of
    the queries' spacing (0.012 of the longest side with 100,000).

    Args:
        reader: the dataset.
        row: object and view.
        places: in the target frame.
        frame: viewer or object.
    """
    name, view = row
    if not reader.knows_inside(name):
        return np.full(len(places), np.nan)
    turn = frames.target_frame(reader.camera(name, view)[1], frame)[0].astype(np.float64)
    own = (places - turn[:3, 3]) @ turn[:3, :3]
    known, inside = reader.queries(name)
    found = inside[cKDTree(known).query(own)[1]]
    return (found & (np.abs(own) <= HALF).all(1)).astype(np.float32)


def retrieved_iou(
    reader: Any, rows: Sequence[tuple[str, int]], batch: Mapping[str, Any], frame: str
) -> Float[Tensor, " b"]:
    """IoU of the object found for each image of a batch, over the batch's queries; NaN where either is not known."""
    places = batch["queries"].double().cpu().numpy()
    found = [inside_of(reader, row, at, frame) for row, at in zip(rows, places, strict=True)]
    inside = torch.from_numpy(np.stack(found)).to(batch["queries"])
    return torch.where(inside.isnan().any(1), torch.nan, iou_of(inside, 0.5, batch["occupancy"]))
