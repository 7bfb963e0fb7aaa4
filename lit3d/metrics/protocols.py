"""Scores as other papers print them: each protocol with its own counts, unit, powers, radii and alignment.

`docs/protocols.md` says where each comes from. What an original does wrong is put right here and said there. Many
protocols ask for more points than a network predicts: each takes what there is up to its own count.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.metrics.point_sets import Distances, distances, emd, fitting, is_failure, normal_consistency

Unit = Literal["side", "box_side", "diagonal", "ball"]
EMD_POINTS = 1024  # the matching is exact whatever the protocol's own solver was; never of more points than this


@dataclass(frozen=True)
class Protocol:
    """How a paper or its code scores one predicted set against one true set.

    Args:
        points: most predicted and true points; None takes all.
        unit: what has length `scale`. side: the object's longest side, in which data already comes. box_side: longest
            side of the truth's bounding box in the target frame. diagonal, ball: of the truth's box in the object's
            axes, its diagonal or the radius of the smallest ball about the box's centre.
        scale: length of the unit.
        chamfer: name of the score; None leaves it out.
        power: 1 Euclidean, 2 squared distances.
        weights: of the directions prediction -> truth and truth -> prediction.
        total: Chamfer and EMD are sums over points instead of means.
        factor: that the Chamfer distance is multiplied by.
        radii: of F-score, precision and recall by suffix, Euclidean, in scaled units.
        closed: whether a distance equal to the radius counts.
        emd: None, or what the mean matched Euclidean distance is multiplied by.
        each_box: both sets are centred on their own boxes and scaled by their own longest sides.
        normals: whether normal consistency is scored where both sets have normals.
    """

    points: tuple[int | None, int | None]
    unit: Unit = "side"
    scale: float = 1.0
    chamfer: str | None = None
    power: int = 2
    weights: tuple[float, float] = (1.0, 1.0)
    total: bool = False
    factor: float = 1.0
    radii: Mapping[str, float] = field(default_factory=dict)
    closed: bool = False
    emd: float | None = None
    each_box: bool = False
    normals: bool = False


_P2M_RADII = MappingProxyType({"tau": 0.01, "2tau": math.sqrt(2e-4)})
_MESHRCNN_RADII = MappingProxyType({"0.1": 0.1, "0.3": 0.3, "0.5": 0.5})
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({
    "psgn_paper": Protocol((1024, 1024), scale=10.0, chamfer="chamfer_l2sq", total=True, emd=1.0),
    "psgn_code": Protocol((1024, None), chamfer="chamfer_l2sq", weights=(0.5, 1.0), factor=1e4),
    "p2m": Protocol((2466, None), "diagonal", 0.57, "chamfer_l2sq", factor=1e3, radii=_P2M_RADII, closed=True,
                    emd=24.66),
    "occnet": Protocol((100_000, 100_000), chamfer="chamfer_l1", power=1, weights=(0.5, 0.5), factor=10.0,
                       normals=True),
    "meshrcnn": Protocol((10_000, 10_000), "box_side", 10.0, "chamfer_l2sq", radii=_MESHRCNN_RADII, normals=True),
    "meshrcnn_p2m": Protocol((10_000, 10_000), "diagonal", 0.57, "chamfer_l2sq", factor=1e3, radii=_P2M_RADII),
    "atlasnet": Protocol((2500, 2500), "ball", 1.0, "chamfer_l2sq", factor=1e3, radii={"0.001sq": math.sqrt(1e-3)}),
    "pix3d": Protocol((1024, 1024), chamfer="chamfer_l1", power=1, emd=1.0, each_box=True),
    "what3d": Protocol((None, None), radii={"0.5pct": 0.005, "1pct": 0.01, "2pct": 0.02, "5pct": 0.05, "10pct": 0.1,
                                            "20pct": 0.2}),
})  # fmt: skip


def named(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names of protocols from a configuration: a list, one name, or `all`.

    Raises:
        UserError: a name that is none.
    """
    asked = [names] if isinstance(names, str) else list(names)
    asked = list(PROTOCOLS) if asked == ["all"] else asked
    if unknown := [n for n in asked if n not in PROTOCOLS]:
        known = ", ".join(PROTOCOLS)
        raise UserError(f"metrics.protocols names {', '.join(unknown)}; there are {known}, or all of them as 'all'")
    return tuple(dict.fromkeys(asked))


def score_protocols(
    pred: Float[Tensor, "b n 3"],
    truth: Float[Tensor, "b m 3"],
    names: Sequence[str],
    object_to_target: Float[Tensor, "b 4 4"] | None = None,
    matched: bool = True,
    normals: tuple[Float[Tensor, "b n 3"], Float[Tensor, "b m 3"]] | None = None,
) -> dict[str, Float[Tensor, " b"]]:
    """Scores (b,) under keys such as `occnet/chamfer_l1`; sets that several protocols share are searched once.

    Args:
        pred: predicted sets in units of the longest side; failures get the worst score, scaled as the protocol scales.
        truth: true sets, finite.
        names: of protocols.
        object_to_target: the way to the object's axes, along which `diagonal` and `ball` are measured; None: the
            target frame is the object's.
        matched: whether EMD is computed.
        normals: of predicted and true points, for the protocols that score them; None leaves that out.
    """
    failed = is_failure(pred)
    if pred.shape[1] == 0:
        pred = truth.new_zeros(len(truth), min(truth.shape[1], EMD_POINTS), 3)  # sums must not reward emptiness
    pred = torch.where(failed[:, None, None], torch.zeros_like(pred), pred)
    searches: dict[tuple[int, int, bool], Distances] = {}
    matches: dict[tuple[int, bool], Tensor] = {}
    scores: dict[str, Tensor] = {}
    for name in names:
        protocol = PROTOCOLS[name]
        n, m = (min(s.shape[1], c or s.shape[1]) for s, c in zip((pred, truth), protocol.points, strict=True))
        key = (n, m, protocol.each_box)
        x, y = pred[:, :n].contiguous(), truth[:, :m].contiguous()
        x, y = (_unit_box(x), _unit_box(y)) if protocol.each_box else (x, y)
        if key not in searches:
            searches[key] = distances(x, y)
        factor = _factor(protocol, truth, object_to_target)
        found = _set_scores(protocol, searches[key], factor)
        if protocol.emd is not None and matched:
            size = min(n, m, EMD_POINTS)
            if (size, protocol.each_box) not in matches:
                matches[size, protocol.each_box] = emd(x, y, size)
            found["emd"] = matches[size, protocol.each_box] * factor * _emd_factor(protocol, size)
        if protocol.normals and normals is not None:
            ours, theirs = fitting(normals[0], pred)[:, :n], normals[1][:, :m]
            found["normal_consistency"] = normal_consistency(x, ours, y, theirs)
        worst = _set_scores(protocol, _far(searches[key]), factor)
        worst |= {k: torch.zeros_like(v) for k, v in worst.items() if k not in ("chamfer_l1", "chamfer_l2sq")}
        if "emd" in found:
            worst["emd"] = math.sqrt(3) * factor * _emd_factor(protocol, size)
        worst |= {"normal_consistency": torch.zeros_like(factor)}
        scores |= {f"{name}/{k}": torch.where(failed, worst[k], v) for k, v in found.items()}
    return scores


def _emd_factor(protocol: Protocol, size: int) -> float:
    return (protocol.emd or 0.0) * (size if protocol.total else 1)


def _far(d: Distances) -> Distances:
    """All distances as long as the unit cube's diagonal: what a counted failure is scored as."""
    return Distances(*(torch.full_like(side, math.sqrt(3)) for side in d))


def _set_scores(protocol: Protocol, d: Distances, factor: Float[Tensor, " b"]) -> dict[str, Tensor]:
    scaled = [side * factor[:, None] for side in d]
    scores: dict[str, Tensor] = {}
    if protocol.chamfer is not None:
        powers = [side**protocol.power for side in scaled]
        parts = [side.sum(1) if protocol.total else side.mean(1) for side in powers]
        scores[protocol.chamfer] = protocol.factor * sum(
            (w * part for w, part in zip(protocol.weights, parts, strict=True)), torch.zeros_like(factor)
        )
    for suffix, radius in protocol.radii.items():
        p, r = ((side <= radius if protocol.closed else side < radius).to(side.dtype).mean(1) for side in scaled)
        f = torch.where(p + r > 0, 2 * p * r / (p + r).clamp_min(1e-12), 0.0)
        scores |= {f"fscore_{suffix}": f, f"precision_{suffix}": p, f"recall_{suffix}": r}
    return scores


def _unit_box(points: Tensor) -> Tensor:
    low, high = points.amin(1, keepdim=True), points.amax(1, keepdim=True)
    side = (high - low).amax(2, keepdim=True)
    return (points - (low + high) / 2) / torch.where(side > 0, side, 1.0)  # a collapsed set has no side: one point


def _factor(protocol: Protocol, truth: Tensor, object_to_target: Tensor | None) -> Float[Tensor, " b"]:
    if protocol.unit == "side":
        return truth.new_full((len(truth),), protocol.scale)
    if protocol.unit != "box_side" and object_to_target is not None:
        truth = truth @ object_to_target[:, :3, :3].to(truth)  # R^T p for row vectors; lengths need no translation
    low, high = truth.amin(1), truth.amax(1)
    if protocol.unit == "ball":
        length = (truth - (low + high)[:, None] / 2).norm(dim=2).amax(1)
    else:
        length = (high - low).amax(1) if protocol.unit == "box_side" else (high - low).norm(dim=1)
    return protocol.scale / torch.where(length > 0, length, 1.0)
