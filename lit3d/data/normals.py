"""Normals of a depth map for data that has none of its own."""

import numpy as np
import torch
from jaxtyping import Float

from lit3d.ops.depth_normals import normals_from_depth


def normals_of(depth: Float[np.ndarray, "h w"], intrinsics: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "h w 3"]:
    """Unit normals towards the camera, by `ops.normals_from_depth` over 3 x 3 pixels; 0 where there are none.

    Args:
        depth: camera z, 0 where it is not known.
        intrinsics: pixels, centres at +0.5.
    """
    one = torch.from_numpy(np.ascontiguousarray(depth, np.float32))[None, None]
    camera = torch.from_numpy(np.ascontiguousarray(intrinsics, np.float32))[None]
    return normals_from_depth(one, camera)[0][0].permute(1, 2, 0).numpy()
