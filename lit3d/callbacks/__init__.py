"""What happens around training: results, pictures."""

from lit3d.callbacks.averaging import AveragedWeights, averages
from lit3d.callbacks.bad_batch import BadBatch
from lit3d.callbacks.branches import Branches
from lit3d.callbacks.last import LastCheckpoint, save_whole
from lit3d.callbacks.mean_shape import MeanShape
from lit3d.callbacks.media import Media
from lit3d.callbacks.metrics_file import MetricsFile
from lit3d.callbacks.mlflow_run import mlflow_logger
from lit3d.callbacks.progress import StepProgress
from lit3d.callbacks.results import Results, ResultsFile, write_atomically
from lit3d.callbacks.views import prediction_grid

__all__ = [
    "AveragedWeights", "BadBatch", "Branches", "LastCheckpoint", "MeanShape", "Media", "MetricsFile", "Results",
    "ResultsFile", "StepProgress", "averages", "mlflow_logger", "prediction_grid", "save_whole", "write_atomically",
]  # fmt: skip
