"""python -m lit3d.synthesize: meshes in, a dataset of images, depth, normals, cameras and surface points out."""

from typing import Any

from lit3d.config import launch


def task(cfg: Any) -> None:
    """Make the dataset of a config."""
    from rich.console import Console

    from lit3d import trust
    from lit3d.build import instantiate, plain

    config = plain(cfg)
    trust.check(config, config["lit3d"]["trust"])
    data = instantiate(config["data"])
    console = Console(soft_wrap=True, highlight=False)
    if config["shard"] is not None:
        console.print(_share(config, data))
        return
    report = data.make(overwrite=config["overwrite"])
    if report is None:
        console.print(f"{data.root} is there and has no source to compare it with: nothing to do")
        return
    console.print(
        f"{report.objects:,} objects, {report.views:,} views in {report.seconds:.0f} s\n"
        f"Left out   {report.failures}" + (f", reasons in {report.path}/failures.csv" if report.failures else "") + "\n"
        f"Hidden     {report.dropped_share:.0%} of the surface: no outside view sees it, no points lie there\n"
        f"Border     {report.border_share:.1%} of the views touch it\n"
        f"Dataset    {report.path}\n"
        f"Try next   python -m lit3d.run data={data.name}"
    )


def _share(config: dict[str, Any], data: Any) -> str:
    """Make one share of the dataset; what to say of it."""
    from lit3d.errors import UserError

    if config["overwrite"]:
        raise UserError("overwrite=true would have each shard begin anew: remove the old dataset first")
    shards = config["shards"] or _shards_of_sweep()
    done = data.make_share(config["shard"], shards)
    said = f"Shard {config['shard']} of {shards}: {done.made:,} objects rendered, {done.failures} left out\n"
    if done.missing:
        return said + f"Missing    shards {', '.join(map(str, done.missing))}: the last one puts the dataset together"
    return said + f"Dataset    {done.path}"


def _shards_of_sweep() -> int:
    """How many shards `-m shard=0,1,2` speaks of.

    Raises:
        UserError: outside such a sweep, or where numbers are left out.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from lit3d.errors import UserError
    from lit3d.sweeps import command, jobs

    folder = jobs.job_folder()
    record = None if folder is None else command.read(folder.parent)
    given = [a for a in (record or {"arguments": ()})["arguments"] if a.startswith("shard=")]
    override = OverridesParser.create().parse_override(given[-1]) if given else None
    if override is None or not override.is_discrete_sweep():
        raise UserError("shard=K needs shards=N, how many there are; or all at once: -m shard=0,1,2")
    numbers = sorted(int(text) for text in override.sweep_string_iterator())
    if numbers != list(range(len(numbers))):
        raise UserError(f"shard={','.join(map(str, numbers))} leaves shards out: give shards=N, how many there are")
    return len(numbers)


def main() -> None:
    """The command."""
    launch("synthesize", task)


if __name__ == "__main__":
    main()
