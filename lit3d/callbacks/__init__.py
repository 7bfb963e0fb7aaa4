"""What happens around training: results, pictures."""

from lit3d.callbacks.branches import Branches
from lit3d.callbacks.last import LastCheckpoint, save_whole
from lit3d.callbacks.media import Media, prediction_grid
from lit3d.callbacks.metrics_file import MetricsFile
from lit3d.callbacks.progress import StepProgress
from lit3d.callbacks.results import Results, write_atomically

__all__ = [
    "Branches", "LastCheckpoint", "Media", "MetricsFile", "Results", "StepProgress", "prediction_grid", "save_whole",
    "write_atomically",
]  # fmt: skip
