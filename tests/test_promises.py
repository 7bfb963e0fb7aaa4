"""docs/reliability.md: each promise names tests that are there, and says truly which of them are slow."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [line.split("|")[1:-1] for line in (ROOT / "docs" / "reliability.md").read_text().splitlines()
        if line.startswith("| ")][1:]  # fmt: skip


def slow(node):
    return any("slow" in ast.unparse(d) for d in getattr(node, "decorator_list", ()))


def functions(path):
    """Name -> whether it is slow, of the tests of a file."""
    tree = ast.parse(path.read_text())
    every = any(isinstance(n, ast.Assign) and "pytestmark" in ast.unparse(n) and "slow" in ast.unparse(n)
                for n in tree.body)  # fmt: skip
    return {n.name: every or slow(n) for n in ast.walk(tree)
            if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}  # fmt: skip


def named(cell):
    """(file, start of a name, whether it is said to be slow) of each reference of a cell."""
    path = None
    for text, star in re.findall(r"`([^`]+)`(\*?)", cell):
        place, _, name = text.rpartition("::")
        path = ROOT / place if place else path
        yield path, name, bool(star)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:40])
def test_the_tests_that_a_promise_names_are_there(row):
    found = list(named(row[2]))
    assert found, "no test is named"
    for path, name, said_slow in found:
        assert path is not None, f"{name}: of which file?"
        begin = name.removesuffix("...")
        tests = {k: v for k, v in functions(path).items() if (k == name if begin == name else k.startswith(begin))}
        assert len(tests) == 1, f"{path}: {name} may be {sorted(tests) or 'no test'}"
        assert said_slow == next(iter(tests.values())), f"{name}: * says that it is slow"


def test_every_row_was_read():
    assert len(ROWS) > 20
