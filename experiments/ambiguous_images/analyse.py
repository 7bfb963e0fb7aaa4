"""Does a network average as its loss does? Two finished runs against the free minimisers of their losses.

    python -m experiments.ambiguous_images.analyse RUN_CD RUN_EMD
    python -m experiments.ambiguous_images.analyse RUN_CD RUN_EMD --images 12 --points 256 --out /tmp/ambiguous

Each run folder needs checkpoints/best.ckpt, and its dataset where it was. Writes images.csv (one row an image and run)
and ambiguous_images.png.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.ambiguous_images.figure import draw
from experiments.ambiguous_images.minimiser import free_minimiser
from experiments.two_branch.analyse import show, write_table
from lit3d import ops
from lit3d.build import instantiate, load_module
from lit3d.errors import UserError
from lit3d.structures import PointSet

HERE = Path(__file__).parent
BATCH = 12
Row = dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """What two losses want of some images and what two networks give, (b n 3) each, in the order of the runs."""

    samples: list[Any]
    members: Tensor  # b k n 3
    free: list[Tensor]
    network: list[Tensor]


def load(folder: Path) -> Any:
    """The module of a run folder."""
    return load_module(folder / "checkpoints" / "best.ckpt")


def name_of(module: Any) -> str:
    """The losses of a run, as text."""
    return "+".join(term.name for term in module.terms)


def data_of(modules: Sequence[Any]) -> Any:
    """The dataset that all of them were trained with.

    Raises:
        UserError: they were trained with different ones or the same loss, or it has no posteriors.
    """
    roots = [module.config["data"]["root"] for module in modules]
    if len(set(roots)) > 1:
        raise UserError(f"the runs were trained with different datasets ({', '.join(roots)}): compare two of one")
    if len({name_of(module) for module in modules}) < len(modules):
        raise UserError(f"both runs were trained with loss {name_of(modules[0])}: give one of each of two losses")
    data = instantiate(modules[0].config["data"], seed=modules[0].config["seed"])
    data.setup()
    if not data.opened.posterior_values:
        raise UserError(f"{data.root} does not know what its images hide: train with data=ambiguous")
    return data


def unique_images(data: Any, count: int | None) -> list[Any]:
    """Test samples with different images, the first twin of each, spread evenly; all for None."""
    dataset, seen, chosen = data.dataset("test"), set(), []
    facts = {entry.object: entry.facts for entry in data.opened.objects}
    for i, (name, view) in enumerate(dataset.rows):
        image = (facts[name].get("seen", name), view)
        if image not in seen:
            seen.add(image)
            chosen.append(i)
    few = len(chosen) if count is None else min(count, len(chosen))
    return [dataset[chosen[i]] for i in torch.linspace(0, len(chosen) - 1, few).long().tolist()]


def answers(modules: Sequence[Any], samples: list[Any], n: int, steps: int) -> Answers:
    """For one batch of samples; of larger predictions a random n points."""
    batch = {key: torch.stack([s[key] for s in samples]) for key in ("image", "posterior", "posterior_points")}
    members = batch["posterior_points"]
    if members.shape[2] < n:
        raise UserError(f"members have {members.shape[2]} points in this dataset: ask for so many with --points")
    free, network = [], []
    for module in modules:
        free.append(free_minimiser(_loss(module), batch["posterior"], members, n, steps))
        with torch.inference_mode():
            points = module(batch).points
        if points.shape[1] < n:
            raise UserError(f"a network predicts {points.shape[1]} points: ask for so many with --points")
        chosen = torch.randperm(points.shape[1], generator=torch.Generator().manual_seed(0))[:n]
        network.append(points[:, chosen].clone())
    return Answers(samples, members[:, :, :n], free, network)


def _loss(module: Any) -> Any:
    """The weighted terms of a run as one loss."""

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([t.factor(0) * t(PointSet(x), {t.target: y}) for t in module.terms]).sum(0)

    return loss


def rows_of(found: Answers, names: Sequence[str]) -> Iterator[Row]:
    """A row for each image and run: EMD from the output to both free minimisers and to the nearest member.

    `beyond_members`: nearer to the own minimiser than to any single member. Where the minimiser *is* a member (EMD: the
    geometric median, so the majority where there is one), no output can be: `minimiser_is_member` says so, and that
    member does not count.
    """
    for i, sample in enumerate(found.samples):
        members = found.members[i][sample["posterior"] > 0]
        noise = float(ops.emd(members[:1], _other(sample, len(members[0]))))
        for own, name in enumerate(names):
            minimiser, other = found.free[own][i], found.free[1 - own][i]
            output = found.network[own][i]
            to_own, to_other = (float(ops.emd(output[None], s[None])) for s in (minimiser, other))
            to_members = ops.emd(output.expand_as(members), members)
            same = ops.emd(minimiser.expand_as(members), members) < noise
            others = to_members[~same]
            yield {
                "image": f"{sample['object']}/{sample['view']}", "kind": sample["category"], "loss": name,
                "to_own": to_own, "to_other": to_other, "to_member": float(to_members.min()),
                "between_minimisers": float(ops.emd(minimiser[None], other[None])), "resampling": noise,
                "minimiser_is_member": int(same.any()),
                "nearer_than_other": int(to_own < to_other),
                "beyond_members": int(not len(others) or to_own < float(others.min())),
            }  # fmt: skip


def _other(sample: Any, n: int) -> Tensor:
    """Another n points of the first member; fewer are left than n in small datasets, then they overlap."""
    return sample["posterior_points"][:1, -n:]


def shares(rows: Sequence[Row]) -> list[Row]:
    """Share of images for each loss and kind, and over all."""
    kinds = [*dict.fromkeys(r["kind"] for r in rows), "all"]
    table = []
    for loss in dict.fromkeys(r["loss"] for r in rows):
        for kind in kinds:
            mine = [r for r in rows if r["loss"] == loss and kind in ("all", r["kind"])]
            means = {k: sum(r[k] for r in mine) / len(mine) for k in
                     ("nearer_than_other", "beyond_members", "minimiser_is_member", "to_own", "to_other", "to_member",
                      "between_minimisers", "resampling")}  # fmt: skip
            both = sum(r["nearer_than_other"] * r["beyond_members"] for r in mine) / len(mine)
            table.append({"loss": loss, "kind": kind, "images": len(mine), "both": both} | means)
    return table


def analyse(folders: Sequence[Path], out: Path, images: int | None, points: int, steps: int) -> list[Row]:
    """Everything; returns the shares.

    Raises:
        UserError: runs that cannot be compared, or too many points asked for.
    """
    modules = [load(folder) for folder in folders]
    samples = unique_images(data_of(modules), images)
    names = [name_of(module) for module in modules]
    parts = [answers(modules, samples[i : i + BATCH], points, steps) for i in range(0, len(samples), BATCH)]
    rows = [row for part in parts for row in rows_of(part, names)]
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "images.csv", rows)
    draw(list(_shown(parts)), names, out / "ambiguous_images.png")
    return shares(rows)


def _shown(parts: Sequence[Answers], each: int = 2) -> Iterator[dict[str, Any]]:
    """The first images of each kind, as the figure wants them."""
    shown: dict[str, int] = {}
    for part in parts:
        for i, sample in enumerate(part.samples):
            shown[sample["category"]] = shown.get(sample["category"], 0) + 1
            if shown[sample["category"]] <= each:
                members = part.members[i][sample["posterior"] > 0]
                yield {"sample": sample, "members": list(members), "free": [f[i] for f in part.free],
                       "network": [p[i] for p in part.network]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs=2, help="two run folders of one dataset, of two losses")
    parser.add_argument("--images", type=int, default=60, help="different test images, spread evenly; 0: all")
    parser.add_argument("--points", type=int, default=512, help="of the free minimisers, and of outputs compared")
    parser.add_argument("--steps", type=int, default=200, help="of each free minimisation")
    parser.add_argument("--out", type=Path, default=HERE)
    a = parser.parse_args()
    show("share of images", analyse(a.runs, a.out, a.images or None, a.points, a.steps))


if __name__ == "__main__":
    main()
