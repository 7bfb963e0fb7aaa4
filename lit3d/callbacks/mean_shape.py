"""A free point set and its family: results.json, points.npz, frames of the way there, a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from lit3d.callbacks import mean_shape_picture
from lit3d.callbacks.results import ResultsFile, write_arrays
from lit3d.drawing import save_image
from lit3d.errors import UserError
from lit3d.metrics import mean_shape

DENSE = {2: 4096, 3: 16384}  # points that stand for a member: spacing far below the tolerance of `on_members`
SHOWN = 5  # members in points.npz and in pictures, each with as many points as the set
PHASES = 16  # samples of the analytic answer


class MeanShape(ResultsFile):
    """Measures the point set against its family after the test.

    Args:
        folder: the run folder.
        frames: sets kept on the way, for animations; 0: none.
        members: how many stand for a family with endless ones.

    Raises:
        UserError: numbers that cannot be.
    """

    def __init__(self, folder: str | Path, frames: int = 60, members: int = 128) -> None:
        super().__init__(folder)
        if frames < 0 or members < 1:
            raise UserError(f"callbacks.results.frames must be at least 0 and members 1, got {frames} and {members}")
        self.frames, self.members = frames, members
        self.kept: dict[int, Tensor] = {}
        self.losses: list[dict[str, Tensor]] = []

    # --- on the way -------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The start is the first frame."""
        self._keep(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """A frame every few steps, and the last one."""
        every = max(1, round(trainer.max_steps / max(1, self.frames)))
        if trainer.global_step % every == 0 or trainer.global_step == trainer.max_steps:
            self._keep(trainer, pl_module)

    def _keep(self, trainer: pl.Trainer, module: Any) -> None:
        if self.frames:
            self.kept[trainer.global_step] = module.network.points.detach().cpu().clone()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """media/frames.npz: `steps` (f,) and `points` (f, n, d)."""
        if self.kept and trainer.is_global_zero:
            sets = torch.stack(list(self.kept.values())).half()
            write_arrays(self.folder / "media" / "frames.npz", steps=np.array(list(self.kept)), points=sets.numpy())

    def state_dict(self) -> dict[str, Any]:
        """A resumed run keeps the frames it had."""
        return {"steps": list(self.kept), "points": list(self.kept.values())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.kept = dict(zip(state_dict["steps"], state_dict["points"], strict=True))

    # --- after the test ---------------------------------------------------------------------------------------------

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier test."""
        self.losses = []

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Losses of a batch."""
        self.losses.append(outputs)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write numbers, points and the picture."""
        if not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        module: Any = pl_module
        points = module.network.points.detach().cpu()
        losses = {name: torch.cat([part[name] for part in self.losses]) for name in self.losses[0]}
        self.summary = {
            "test": {name: float(values.mean()) for name, values in losses.items()},
            "test_standard_error": {name: self._error(name) for name in losses},
            "family": {"name": data.family.name, "dimension": data.family.dimension},
            "mean_shape": self.measure(points, data),
            "counts": {"n": len(points), "samples": len(next(iter(losses.values())))},
            **self.run_facts(trainer, pl_module),
        }  # fmt: skip
        self.add()
        hidden, members = data.members(SHOWN, len(points))
        write_arrays(self.folder / "points.npz", points=points.numpy(), members=members.numpy(), hidden=hidden.numpy())
        picture = mean_shape_picture.draw(members.numpy(), points.numpy(), self.summary)
        save_image(picture, self.folder / "media" / "mean_shape.png")

    def _error(self, name: str) -> float:
        """Standard error of the mean of a loss: batches are independent, the samples of a stratified one are not."""
        means = torch.stack([part[name].mean() for part in self.losses])
        return float(means.std() / len(means) ** 0.5) if len(means) > 1 else float("nan")

    def measure(self, points: Tensor, data: Any) -> dict[str, Any]:
        """The entries of `mean_shape` in results.json; docs/mean_shape.md defines them."""
        hidden, members = data.members(self.members, DENSE[data.family.dimension])
        on = mean_shape.on_members(points, members)
        found: dict[str, Any] = {
            "radius": mean_shape.radius(points),
            "off_member": mean_shape.off_member(on),
            "between": mean_shape.between(on),
        }
        if data.family.hidden.values is not None:
            shares = mean_shape.at_places(on).tolist()
            found["at_places"] = {f"{value:g}": share for value, share in zip(hidden.tolist(), shares, strict=True)}
        found["answers"] = {}
        for name in data.family.analytic:
            value, samples = data.answer(name, len(points), PHASES)
            found["answers"][name] = {"hidden": value, "emd": mean_shape.closest_emd(points, samples)}
        return found
