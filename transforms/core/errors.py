"""Errors that the user can act on: they say what, where and what to do, without a traceback."""

import difflib
import errno
import re
from collections.abc import Iterable

_MACHINE_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
"""Failures of the machine, not of the program."""


OTHER_NAMES = {
    **dict.fromkeys(("text_field", "text_key", "text_column", "text_keys"), "fields.text"),
    **dict.fromkeys(("id_field", "id_key", "id_column"), "fields.id"),
    **dict.fromkeys(("content", "body"), "text"),
    **dict.fromkeys(("shuffle", "shuffled", "random"), "uniform"),
    **dict.fromkeys(("filters", "filter", "rules"), "thresholds"),
    **dict.fromkeys(("files", "path", "data"), "paths"),
    **dict.fromkeys(("num_perm", "num_bands", "num_buckets"), "bands"),
    **dict.fromkeys(("ngram_size", "n_grams"), "ngram"),
    **dict.fromkeys(("min_lr", "final_lr", "lr_min"), "final"),
    **dict.fromkeys(("max_lr", "lr", "learning_rate"), "peak"),
    **dict.fromkeys(("minimum", "gte"), "min"),
    **dict.fromkeys(("maximum", "lte"), "max"),
    "min_words": "thresholds.gopher.word_count.min",
    "max_words": "thresholds.gopher.word_count.max",
    **dict.fromkeys(("in", "values", "allowed"), "one_of"),
    **dict.fromkeys(("remove", "delete", "discard"), "drop"),
    "type": "kind",
    "license": "licence",
    "warmup-stable-decay": "wsd",
}
"""Names that other tools, or people, give to what a recipe calls otherwise."""


class RunError(Exception):
    """Stops a run. The message is for the person who started it."""

    @classmethod
    def from_traceback(cls, text: str) -> "RunError | None":
        """The error in the text of a worker's traceback, which is all that some runners keep of
        it.

        A failure of the machine, such as a full disk, becomes one too. None for other errors.
        """
        marker = f"{cls.__module__}.{cls.__qualname__}: "
        if marker in text:
            return cls(_message(text.rsplit(marker, 1)[1]))
        errors = [match for match in re.finditer(r"\[Errno (\d+)\] ", text) if int(match[1]) in _MACHINE_ERRORS]
        if not errors:
            return None
        # The last one was raised at the end of the chain: the first may not know the file.
        message = _message(text[errors[-1].end() :])
        return cls(f"{message}. Once that is fixed, run the same command again: it continues where it stopped")


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that was probably meant: what others call it, equal but for case, hyphens and
    underscores, the only one that begins so (a plural as its singular), the only one that has all its
    words, or one that differs by a few letters. None if there is none."""

    def plain(text: str) -> str:
        return text.lower().replace("-", "_")

    known = list(names)
    if OTHER_NAMES.get(name, "").split(".")[0] in known:
        return OTHER_NAMES[name]
    if same := [other for other in known if plain(other) == plain(name)]:
        return same[0]
    if len(name) > 2:
        stem, words = plain(name).removesuffix("s"), _words(plain(name))
        beginning = [other for other in known if plain(other).startswith(stem)]
        containing = [other for other in known if words < _words(plain(other))]
        for likely in (beginning, containing):
            if len(likely) == 1:
                return likely[0]
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return close[0] if close else None


def _words(name: str) -> set[str]:
    return set(re.split(r"[._]+", name)) - {""}


def missing_package(feature: str, package: str) -> str:
    """The message for a feature whose package is not installed.

    It names the package, not an extra of Tamis, because Tamis itself is not on the package index.
    """
    return f"{feature} needs the package {package}: pip install '{package}'"


class NoInput(RunError):
    """There is no input file, and the recipe allows that (`input.allow_empty`).

    Nothing is changed; the last release stays current.
    """


class NothingNew(RunError):
    """All that the input brings was released before (`dedup.against`), so there is nothing to release.

    Nothing is changed; the last release stays current.
    """


def damage(error: Exception) -> str:
    """The first line of a library's message about damaged data.

    Raises `error` again if the system or a store raised it: an OSError with a number, or of a
    subclass. Libraries raise a bare OSError for bytes that they cannot parse.
    """
    if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
        raise error
    return str(error).split("\n", 1)[0]


def _message(text: str) -> str:
    """The text before the step ("… [while running 'Rate/…']") and the frames that Beam appends."""
    for end in (" [while running", "\nTraceback", "\n\nDuring handling", "\n\nThe above exception"):
        text = text.split(end, 1)[0]
    return text.strip()
