"""Free points -> the mean shape of a loss."""

from typing import Any

from torch import Tensor

from lit3d.errors import UserError
from lit3d.modules.base import ReconstructionModule


class FreePointsModule(ReconstructionModule):
    """Optimises one point set against all samples (Fan, Su, Guibas 2017, section 4.3 and figure 3).

    Samples of a shape family have no truth behind them to be scored against: their test is the expected loss.
    """

    def on_fit_start(self) -> None:
        """Take the start from the data where the model asks for it; a resumed run has its points."""
        network: Any = self.network
        if network.init != "union" or self.trainer.ckpt_path is not None:
            return
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        if not hasattr(data, "union"):
            raise UserError("model.init=union draws from a shape family: set data=shape_family, or model.init=blob")
        network.begin(data.union(len(network.points)).to(self.device))

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Each unweighted loss of each sample (b,), or the usual scores where there is a truth."""
        if "hidden" not in batch:
            return super().test_step(batch, batch_idx, dataloader_idx)
        prediction = self(batch)
        return {term.name: term(prediction, batch) for term in self.terms}
