"""python -m lit3d.run: train one model on one dataset and score it."""

from typing import Any

from lit3d.config import launch


def task(cfg: Any) -> float | None:
    """One job."""
    from lit3d.training import train

    return train(cfg)


def main() -> None:
    """The command."""
    launch("run", task)


if __name__ == "__main__":
    main()
