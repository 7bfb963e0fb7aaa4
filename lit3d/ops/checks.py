"""Checks that operations on point sets share: one sentence that says what came and what is expected."""

import numpy as np
import torch
from torch import Tensor

from lit3d.errors import UserError


def check_sets(x: Tensor, y: Tensor, *, equal_size: bool = False) -> None:
    """Refuse two batches of point sets that cannot be compared.

    Raises:
        UserError: not (b, n, d) with d = 2 or 3; batch, dimension, dtype or device differ; an empty set; a coordinate
            that is not finite (the sample is named); `equal_size` and the sizes differ.
    """
    for name, points in (("first", x), ("second", y)):
        if points.ndim != 3 or points.shape[-1] not in (2, 3):
            raise UserError(f"expected sets of shape (batch, points, 2 or 3), but the {name} has {_shape(points)}")
        if points.shape[1] == 0:
            raise UserError(f"the {name} point set is empty ({_shape(points)}): a distance needs at least one point")
    if x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise UserError(f"point sets must share batch and dimension, but have {_shape(x)} and {_shape(y)}")
    if x.dtype != y.dtype or x.device != y.device:
        raise UserError(
            f"point sets must share dtype and device, but are {x.dtype} on {x.device} and {y.dtype} on {y.device}"
        )
    if equal_size and x.shape[1] != y.shape[1]:
        raise UserError(
            f"a bijection needs sets of equal size, but they have {x.shape[1]} and {y.shape[1]} points; "
            "resample one of them first (lit3d.ops.random_subset)"
        )
    for name, points in (("first", x), ("second", y)):
        if not _all_finite(points):
            broken = int((~points.isfinite().flatten(1).all(1)).nonzero()[0])
            raise UserError(f"the {name} point set has NaN or infinite coordinates in sample {broken}")


def _all_finite(points: Tensor) -> bool:
    if points.device.type == "cpu" and points.dtype in (torch.float32, torch.float64):
        return bool(np.isfinite(points.detach().numpy()).all())  # torch would wake threads that then spin on our cores
    return bool(points.isfinite().all())


def _shape(points: Tensor) -> str:
    return f"shape {tuple(points.shape)}"
