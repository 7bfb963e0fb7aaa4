import logging
import os
import sys
from pathlib import Path

import pytest

from lit3d.config import launch

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)  # worker processes import tasks by this name


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a command in an empty folder; its exit code comes back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, str(Path(__file__).parents[2])]))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def one(task, *argv, name="run"):
        monkeypatch.setattr(sys, "argv", [name, *argv])
        try:
            launch(name, task)
        except SystemExit as end:
            return end.code
        return 0

    yield one
    root.handlers[:], root.level = handlers, level
