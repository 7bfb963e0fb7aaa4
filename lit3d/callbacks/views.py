"""Some views of a dataset and what a network makes of them: as a sheet, files, point clouds, a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate

from lit3d import drawing
from lit3d.callbacks.show import Cloud
from lit3d.shape_files import depth_colours, file_name, write_shape, y_up
from lit3d.structures import Structure

HEADS = ("input", "truth", "prediction", "truth, 90°", "prediction, 90°")
FURTHER = 3  # answers beside the first that the sheet shows, from 90 degrees: what the input's view does not tell


@dataclass(frozen=True)
class Views:
    """Samples and what a network makes of them.

    Attributes:
        samples: of a dataset, one a view.
        prediction: for all of them, on the CPU.
        points: (b, n, 3) of the predicted surfaces, in the target frame.
        frame: viewer or object.
        scores: name -> one number a sample; empty unless asked for.
        further: (b, n, 3) of answers after the first, where the network has several.
    """

    samples: list[Any]
    prediction: Structure
    points: np.ndarray
    frame: str
    scores: dict[str, Tensor]
    further: tuple[np.ndarray, ...] = ()

    def pictures(self, i: int, size: int) -> list[np.ndarray]:
        """Input, truth and prediction in the input's view, both turned by 90 degrees."""
        sample = self.samples[i]
        intrinsics, pose = (sample[k].double().numpy() for k in ("intrinsics", "pose"))
        up = sample["object_to_target"][:3, 1].double().numpy()
        side = sample["image"].shape[-1]
        truth = sample["points"][: self.points.shape[1]].double().numpy()
        t0, t90 = drawing.two_views(truth, intrinsics, pose, up, size, side)
        p0, p90 = drawing.two_views(self.points[i], intrinsics, pose, up, size, side)
        return [drawing.upscaled(sample["image"].permute(1, 2, 0).numpy(), size), t0, p0, t90, p90]

    def grid(self, size: int) -> Image.Image:
        """A row for each sample."""
        rows = [[*self.pictures(i, size), *self.answers(i, size)] for i in range(len(self.samples))]
        heads = [*HEADS, *(f"answer {k + 2}, 90°" for k in range(len(self.further)))]
        return drawing.grid(rows, heads, [s["category"] for s in self.samples])

    def answers(self, i: int, size: int) -> list[np.ndarray]:
        """The further answers turned by 90 degrees."""
        sample = self.samples[i]
        intrinsics, pose = (sample[k].double().numpy() for k in ("intrinsics", "pose"))
        up, side = sample["object_to_target"][:3, 1].double().numpy(), sample["image"].shape[-1]
        return [drawing.two_views(points[i], intrinsics, pose, up, size, side)[1] for points in self.further]

    def write(self, folder: Path) -> None:
        """Each prediction as .ply and .glb, named by object and view."""
        for i, sample in enumerate(self.samples):
            stem = folder / file_name(sample["object"], int(sample["view"]))
            write_shape(self.prediction.to_trimesh(i), stem, sample["pose"].double().numpy(), self.frame)

    def clouds(self, count: int, points: int) -> Iterator[Cloud]:
        """At most `count` predictions of at most `points` points, for dashboards."""
        chosen = self.prediction.surface(_count(self.prediction, points), torch.Generator().manual_seed(0))[0]
        for sample, cloud in zip(self.samples[:count], chosen.double().numpy(), strict=False):
            caption = file_name(sample["object"], int(sample["view"]))
            yield caption, y_up(cloud, self.frame), depth_colours(cloud, sample["pose"].double().numpy())

    def table(self, size: int) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows: identity, input, prediction from the input's view and from 90 degrees, scores."""
        columns = ["object", "category", "view", "input", "prediction", *self.scores]
        rows = []
        for i, sample in enumerate(self.samples):
            image, _, p0, _, p90 = self.pictures(i, size)
            shown = [Image.fromarray(image), Image.fromarray(np.hstack([p0, p90]))]
            scores = [float(values[i]) for values in self.scores.values()]
            rows.append([sample["object"], sample["category"], int(sample["view"]), *shown, *scores])
        return columns, rows


def look(module: Any, samples: list[Any], score: bool = False) -> Views:
    """Predict samples in evaluation mode, and score them if asked to."""
    batch = module.transfer_batch_to_device(default_collate(samples), module.device, 0)
    training = module.training
    module.eval()
    with torch.no_grad():
        prediction = module.answers(batch, module.metrics.answers)
        points = prediction.surface(_count(prediction, module.metrics.points))[0].cpu().double().numpy()
        several = getattr(prediction, "hypotheses", None)
        further = () if several is None else several[:, 1 : FURTHER + 1, : points.shape[1]].unbind(1)
        scores = module.metrics(prediction, batch, final=True) if score else {}
    module.train(training)
    frame = module.config.get("data", {}).get("frame", "viewer")
    return Views(samples, prediction.to("cpu"), points, frame, {k: v.cpu() for k, v in scores.items()},
                 tuple(answer.cpu().double().numpy() for answer in further))  # fmt: skip


def prediction_grid(module: Any, samples: list[Any], size: int = 160) -> Image.Image:
    """A row for each sample: input, truth and prediction in the input's view, both turned by 90 degrees."""
    return look(module, samples).grid(size)


def _count(prediction: Any, wanted: int) -> int:
    return wanted if prediction.capacity is None else min(wanted, prediction.capacity)
