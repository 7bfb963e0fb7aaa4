"""Errors that are sentences for people: what was expected, what came, what to do."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in a command, a config or a file that the user can mend.

    Entry points print its text alone, without a traceback.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The close names as a sentence with a leading blank, or the empty string."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
