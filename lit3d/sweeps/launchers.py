"""Launchers and sweepers of our own, where Hydra finds them."""


def register() -> None:
    """Make them known under the one namespace that Hydra takes plugins from."""
