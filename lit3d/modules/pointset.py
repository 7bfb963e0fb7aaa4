"""Image -> point set."""

from lit3d.modules.base import ReconstructionModule


class PointSetModule(ReconstructionModule):
    """Trains a network that predicts an unordered `PointSet` (Fan, Su, Guibas 2017)."""
