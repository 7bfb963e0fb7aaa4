"""python -m lit3d.dashboard: the saved workspace of a W&B project."""

from typing import Any

from lit3d.config import launch


def task(cfg: Any) -> None:
    """Create the workspace, or say what it would be."""
    from lit3d.build import plain
    from lit3d.reporting import workspace

    config = plain(cfg)
    made = workspace.make(config)
    if config["dry_run"]:
        print("\n".join(workspace.described(made)))
        print(workspace.as_json(made) if config["json"] else "Nothing was sent; json=true prints what would be")
        return
    print(f"Workspace  {workspace.save(made)}")


def main() -> None:
    """The command."""
    launch("dashboard", task)


if __name__ == "__main__":
    main()
