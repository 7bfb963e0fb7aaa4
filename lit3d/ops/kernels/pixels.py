"""Pixels of a stored view -> pixels that a network reads."""

import numpy as np

from lit3d.ops.kernels.jit import kernel


@kernel()
def composite_straight_alpha(rgba, background, out):
    """Straight-alpha uint8 (h, w, 4) over one colour (3,) float32: writes (h, w, 3) float32 in [0, 1].

    One pass without temporaries: numpy needs six, and takes longer than reading the view from disk.
    """
    for y in range(rgba.shape[0]):
        for x in range(rgba.shape[1]):
            alpha = np.float32(rgba[y, x, 3]) * np.float32(1 / 255)
            for c in range(3):
                colour = np.float32(rgba[y, x, c]) * np.float32(1 / 255)
                out[y, x, c] = background[c] + alpha * (colour - background[c])
