"""What happens around training: results, pictures."""

from lit3d.callbacks.media import Media, prediction_grid
from lit3d.callbacks.progress import StepProgress
from lit3d.callbacks.results import Results, write_atomically

__all__ = ["Media", "Results", "StepProgress", "prediction_grid", "write_atomically"]
