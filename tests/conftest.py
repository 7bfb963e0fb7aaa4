import logging
import os

import pytest


@pytest.fixture(autouse=True)
def clean_process():
    """A test leaves no environment variable, no W&B run, no Hydra state and no log file behind."""
    before, handlers = dict(os.environ), list(logging.root.handlers)
    yield
    import sys

    if "hydra" in sys.modules:
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()
    for handler in set(logging.root.handlers) - set(handlers):  # Hydra's, whose file goes with the test's folder
        if isinstance(handler, logging.FileHandler):
            logging.root.removeHandler(handler)
            handler.close()
    if "wandb" in sys.modules:
        assert sys.modules["wandb"].run is None, "a W&B run was left open"
    changed = {k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}
    # pytest sets its own; Lightning's seed_everything and libraries at import set these
    changed -= {"PYTEST_CURRENT_TEST", "PL_GLOBAL_SEED", "PL_SEED_WORKERS", "PYTORCH_NVML_BASED_CUDA_CHECK"}
    changed = {name for name in changed if not name.startswith(("KMP_", "TORCHINDUCTOR_", "WANDB_SERVICE"))}
    assert not changed, f"environment variables changed: {sorted(changed)}"


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """Where the runs of this session keep their tiny datasets: made by the first."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="session")
def trained(datasets, tmp_path_factory):
    """The checkpoint of a tiny run."""
    from lit3d.config import compose
    from lit3d.training import train

    folder = tmp_path_factory.mktemp("trained")
    overrides = ["debug=tiny", f"paths.data={datasets}", f"paths.output={folder}", "callbacks.media=null", "test=false"]
    train(compose("run", overrides))
    return folder / "checkpoints" / "best.ckpt"
