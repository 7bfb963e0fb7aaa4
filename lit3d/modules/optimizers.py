"""Muon for the matrices inside a network, AdamW for everything else."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

NARROWEST = 16  # rows and columns: a narrower weight has too few directions to bring into balance


class MuonAdamW(Optimizer):
    """Muon (Jordan et al. 2024) where a weight is a matrix, AdamW for biases, norms and narrow layers.

    Muon steps along the nearest orthogonal matrix of a weight's momentum, so that rare directions move as fast as
    common ones; a convolution is the matrix (outputs, inputs times taps). Its steps are scaled to the size that
    AdamW's have (Liu et al. 2025, Muon is Scalable for LLM Training, eq. 4), so that one rate serves both. Both parts
    are torch's own: this class deals the parameters out and shows convolutions as matrices.

    Args:
        params: parameters, or groups of them.
        lr: of both parts.
        weight_decay: decoupled, of both parts.
        momentum: of Muon.
        largest: numbers in a weight beyond which AdamW takes it: the cost of making a matrix orthogonal grows with
            its size times its shorter side.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 3e-3, weight_decay: float = 0.01, momentum: float = 0.95,
        largest: int = 2**20,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        muon, adamw = [], []
        self.matrices: list[tuple[nn.Parameter, nn.Parameter]] = []  # a weight, and what Muon has in its place
        for group in self.param_groups:
            pairs = [(p, nn.Parameter(as_matrix(p, p))) for p in group["params"] if is_matrix(p, largest)]
            self.matrices += pairs
            muon.append({"params": [matrix for _, matrix in pairs]})
            adamw.append({"params": [p for p in group["params"] if not is_matrix(p, largest)]})
        self.parts = {
            "muon": torch.optim.Muon(muon, lr, weight_decay, momentum, adjust_lr_fn="match_rms_adamw"),
            "adamw": torch.optim.AdamW(adamw, lr, weight_decay=weight_decay, fused=True),
        }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step of both parts, at the rates that the groups have now."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for weight, matrix in self.matrices:  # anew in each step: a network that moved has other storage
            matrix.data = as_matrix(weight.data, weight)
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad, weight)
        for part in self.parts.values():
            for own, group in zip(part.param_groups, self.param_groups, strict=True):
                own.update({k: group[k] for k in ("lr", "weight_decay", "momentum") if k in own})
            part.step()
        for _, matrix in self.matrices:
            matrix.grad = None  # else it would hold the gradient's memory until the next step
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The groups, and the state of both parts."""
        return super().state_dict() | {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        super().load_state_dict({k: state_dict[k] for k in ("state", "param_groups")})
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])


def is_matrix(weight: Tensor, largest: int) -> bool:
    """Whether Muon takes a weight: large enough for a layer inside, and laid out so that a view of it is a matrix."""
    if weight.ndim < 2 or not 0 < weight.numel() <= largest:
        return False
    if min(len(weight), weight[0].numel()) < NARROWEST:
        return False
    return as_matrix(weight, weight).data_ptr() == weight.data_ptr()


def as_matrix(tensor: Tensor, weight: Tensor) -> Tensor:
    """A weight, or its gradient, as (rows, everything else); columns in the order of the weight's memory.

    So it is a view of the weight, with channels last or not; the order of columns has no say in what is orthogonal.
    """
    strides = weight.stride()
    inner = sorted(range(1, weight.ndim), key=lambda d: -strides[d])
    return tensor.detach().permute(0, *inner).reshape(len(tensor), -1)
