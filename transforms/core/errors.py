"""The error a person can act on: it says what, where and what to do, and reaches them without a
traceback."""

import errno
import re

_MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}
"""What the machine refuses, through no fault of the program."""


class RunError(Exception):
    """Stops a run. The message is for the person who started it; a runner may carry it across
    processes as text."""

    @classmethod
    def from_traceback(cls, text: str) -> "RunError | None":
        """The error inside a worker's traceback: runners in other processes keep its text and lose
        its type.

        A full disk and its like count too: they need a person, not a programmer.
        """
        marker = f"{cls.__module__}.{cls.__qualname__}: "
        if marker in text:
            return cls(_message(text.rsplit(marker, 1)[1]))
        refused = [text[found.end() :] for found in re.finditer(r"\[Errno (\d+)\] ", text) if int(found[1]) in _MACHINE]
        if not refused:
            return None
        # The last is what was raised in the end: what first met a full disk may not have known in
        # which file.
        return cls(f"{_message(refused[-1])}. Once that is mended, the same command goes on where it stopped")


class NoInput(RunError):
    """There is no input file, and the recipe allows that (`input.allow_empty`): nothing is
    touched, the last release stands."""


def damage(error: Exception) -> str:
    """The first line of what a library says of damaged data. Raises the error again where it is
    the system's or a store's.

    What reads bytes raises an OSError with a number, or one of its kinds; what finds no sense in
    them, a bare one.
    """
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error
    return str(error).split("\n", 1)[0]


def _message(text: str) -> str:
    """Up to where Beam appends the step ("… [while running 'Rate/…']") and its own frames."""
    for end in (" [while running", "\nTraceback", "\n\nDuring handling", "\n\nThe above exception"):
        text = text.split(end, 1)[0]
    return text.strip()
