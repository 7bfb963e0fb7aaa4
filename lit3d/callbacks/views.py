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

from lit3d import drawing, mesh_drawing
from lit3d.callbacks.show import Cloud
from lit3d.ops.camera import to_target
from lit3d.ops.depth import to_points, unproject, valid_depth
from lit3d.shape_files import depth_colours, file_name, write_shape, y_up
from lit3d.structures import Structure

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

    def pictures(self, i: int, size: int) -> dict[str, np.ndarray]:
        """By head: the input; truth and prediction in the input's view, as maps where these are predicted; from 90°."""
        sample, shown = self.samples[i], self.prediction.maps(i)
        truth = true_points(sample, self.points.shape[1])
        t0, t90 = drawing.two_views(truth, *_camera(sample, size))
        p0, p90 = mesh_drawing.two_views(self.prediction, i, self.points[i], *_camera(sample, size))
        found = {"input": drawing.upscaled(sample["image"].permute(1, 2, 0).numpy(), size)}
        for name, values in shown.items():
            found |= _beside_truth(sample, name, values.numpy(), size)
        found |= {} if shown else {"truth": t0, **self.blocks(i, size), "prediction": p0}
        return found | {"truth, 90°": t90, "prediction, 90°": p90}

    def blocks(self, i: int, size: int) -> dict[str, np.ndarray]:
        """What a staged network predicted before, coarse to fine, in the input's view."""
        seen = _camera(self.samples[i], size)
        earlier = [mesh_drawing.two_views(s, i, self.points[i], *seen)[0] for s in self.prediction.stages[:-1]]
        return {f"block {k + 1}": picture for k, picture in enumerate(earlier)}

    def grid(self, size: int) -> Image.Image:
        """A row for each sample."""
        shown = [self.pictures(i, size) for i in range(len(self.samples))]
        rows = [[*pictures.values(), *self.answers(i, size)] for i, pictures in enumerate(shown)]
        heads = [*shown[0], *(f"answer {k + 2}, 90°" for k in range(len(self.further)))]
        return drawing.grid(rows, heads, [s["category"] for s in self.samples])

    def answers(self, i: int, size: int) -> list[np.ndarray]:
        """The further answers turned by 90 degrees."""
        return [drawing.two_views(points[i], *_camera(self.samples[i], size))[1] for points in self.further]

    def write(self, folder: Path) -> None:
        """Each prediction that is not empty as .ply and .glb, named by object and view."""
        for i, sample in enumerate(self.samples):
            stem, shape = folder / file_name(sample["object"], int(sample["view"])), self.prediction.to_trimesh(i)
            if len(shape.vertices):
                pose, obj = sample["pose"].double().numpy(), self.prediction.solid
                write_shape(shape, stem, pose, self.frame, obj)

    def clouds(self, count: int, points: int) -> Iterator[Cloud]:
        """At most `count` predictions of at most `points` points, for dashboards."""
        chosen = self.prediction.surface(_count(self.prediction, points), torch.Generator().manual_seed(0))[0]
        for sample, cloud in zip(self.samples[:count], chosen.double().numpy(), strict=False):
            caption = file_name(sample["object"], int(sample["view"]))
            cloud = cloud[np.isfinite(cloud).all(1)]  # an empty depth map has no points
            yield caption, y_up(cloud, self.frame), depth_colours(cloud, sample["pose"].double().numpy())

    def table(self, size: int) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows: identity, input, prediction as the sheet shows it, scores."""
        columns = ["object", "category", "view", "input", "prediction", *self.scores]
        rows = []
        for i, sample in enumerate(self.samples):
            pictures = self.pictures(i, size)
            predicted = [picture for head, picture in pictures.items() if not head.startswith(("input", "tru"))]
            shown = [Image.fromarray(pictures["input"]), Image.fromarray(np.hstack(predicted))]
            scores = [float(values[i]) for values in self.scores.values()]
            rows.append([sample["object"], sample["category"], int(sample["view"]), *shown, *scores])
        return columns, rows


def true_points(sample: Any, count: int) -> np.ndarray:
    """(n, 3) in the target frame: of the object's surface, or of what the true depth shows of a scene."""
    if "points" in sample:
        return sample["points"][:count].double().numpy()
    one = {k: sample[k][None] for k in ("depth", "mask", "intrinsics", "pose")}
    points = to_target(to_points(unproject(one["depth"], one["intrinsics"])), one["pose"])[0]
    seen = points[valid_depth(one["depth"], one["mask"]).flatten()]
    return seen[torch.linspace(0, max(0, len(seen) - 1), min(count, len(seen))).long()].double().numpy()


def _camera(sample: Any, size: int) -> tuple[Any, ...]:
    """Intrinsics, pose, the way up, and sizes of picture and image, as views in `drawing` want them."""
    intrinsics, pose = (sample[k].double().numpy() for k in ("intrinsics", "pose"))
    up, shape = sample["object_to_target"][:3, 1].double().numpy(), sample["image"].shape[-2:]
    return drawing.in_square(intrinsics, *shape), pose, up, size, max(shape)


def _beside_truth(sample: Any, name: str, values: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """A predicted map (c, h, w), before it the true one where the sample has it, in the same colours."""
    if name not in sample:
        return {name: drawing.fitted(drawing.coloured(values), size, pixels=True)}
    truth = sample[name].numpy()
    truth = np.where(sample["mask"].numpy(), truth, np.nan) if "mask" in sample else truth
    limits = drawing.depth_range(truth)
    shown = {f"true {name}": truth, name: values}
    return {head: drawing.fitted(drawing.coloured(v, limits), size, pixels=True) for head, v in shown.items()}


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
