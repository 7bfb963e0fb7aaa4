"""Errors that are sentences for people: what was expected, what came, what to do."""

import difflib
from collections.abc import Iterable, Iterator


class UserError(ValueError):
    """A mistake in a command, a config or a file that the user can mend.

    Entry points print its text alone, without a traceback.
    """


class RefusedError(UserError):
    """A folder that is someone else's work: nothing in it may be changed, not even to say so."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, each once: an error may well be its own grandparent."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The close names as a sentence with a leading blank, or the empty string."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
