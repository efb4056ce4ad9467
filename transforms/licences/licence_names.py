"""Reads the licences that people write, such as "CC BY 4.0 and the Apache License, v2", as SPDX expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from tamis.transforms.licences.known_terms import OWN_NAMES, terms_of
from tamis.transforms.licences.terms import Terms, all_of, any_of

if TYPE_CHECKING:
    from license_expression import LicenseExpression

_T = TypeVar("_T")

UNREAD: Final = "LicenseRef-Unknown"
"""Stands in an expression for a name that is not known."""

_LONGEST = 500  # characters of a name; what is longer is a text, not a name

_PHRASES: Final[Sequence[tuple[str, str]]] = (
    (r"creative commons?", "cc"),
    (r"non[- ]?commercial", "nc"),
    (r"share[- ]?alike", "sa"),
    (r"no[- ]?deriv(?:ative|ative work|)s?\b", "nd"),
    (r"attribution", "by"),
    (r"open data commons open database", "odbl"),
    (r"open data commons public domain dedication and", "pddl"),
    (r"open data commons", "odc"),
    (r"open database", "odbl"),
    (r"open government", "ogl"),
    (r"community data licen[sc]e agreement", "cdla"),
    (r"(?:gnu )?(?:lesser|library) general public", "lgpl"),
    (r"(?:gnu )?affero general public", "agpl"),
    (r"(?:gnu )?general public", "gpl"),
    (r"(?:gnu )?free documentation", "gfdl"),
    (r"\bgnu (?=a?l?gpl|gfdl)", ""),
    (r"academic free", "afl"),
    (r"mozilla(?: public)?", "mpl"),
    (r"eclipse(?: public)?", "epl"),
    (r"\bv(?:ersion|er)?\.?\s?(?=\d)", ""),
    (r"\b(a?l?gpl|gfdl|mpl|epl)v?(?=\d)", r"\1 "),
    (r"(?<=\d)\+", " or later"),
    (r"^licenseref (?=cc by)", ""),
    (r"public domain", "publicdomain"),
)
"""Long forms of names, and the short ones."""

_FILLERS: Final = {
    *("the", "a", "license", "licence", "licensed", "licenced", "under", "agreement", "public", "only", "software"),
    *("international", "unported", "generic", "legal", "code", "terms"),
}
"""Words that tell no two licences apart."""

_CREATIVE_COMMONS = re.compile(r"(?:cc )?by((?: (?:nc|nd|sa))*)(?: (\d\.\d))?(?: [a-z]{2,3})?")
_URL = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)(?:/(\d\.\d))?[^\s,;)]*", re.I
)
_OTHER_URL = re.compile(
    r"https?://(?:www\.)?(?:opensource\.org/licenses?|spdx\.org/licenses|(apache)\.org/licenses)/", re.IGNORECASE
)
_OR_LATER = re.compile(r",? +\(?or(?: \(?at your option\)?)?(?: any)? (?:later|newer)(?: version)?\)?", re.IGNORECASE)
_OPERATORS = re.compile(r"((?<![\w-])(?:and|or|with)(?![\w-])|[()])|[,;/&]", re.IGNORECASE)


@lru_cache(1 << 16)
def read_licence(text: str) -> str | None:
    """The SPDX expression of a licence as it is written, where `LicenseRef-Unknown` stands for each name
    that is not known; None if none is. A JSON list of names means all of them. So do commas and
    slashes, because who reads "or" into them would allow too much."""
    names = _listed(text) if text.startswith("[") else [text]
    found = [_expression(name) for name in names if len(name) <= _LONGEST]
    if len(found) < len(names) or not found:
        found.append(None)
    known = list(dict.fromkeys(each or UNREAD for each in found))
    return None if set(known) <= {UNREAD} else conjunction(known)


def conjunction(expressions: Sequence[str]) -> str:
    """One expression that asks for all of these."""
    if len(expressions) == 1:
        return expressions[0]
    return " AND ".join(f"({each})" if " OR " in each else each for each in expressions)


def evaluate_licence(
    expression: str, leaf: Callable[[str], _T], both: Callable[[list[_T]], _T], either: Callable[[list[_T]], _T]
) -> _T:
    """Folds over an expression of `read_licence`: `leaf` of each licence, `both` of what AND joins,
    `either` of what OR joins. An exception (WITH) leaves the terms of a licence as they are."""
    return _fold(_parsed(expression), leaf, both, either)


@lru_cache(1 << 16)
def terms_of_expression(expression: str) -> Terms:
    """The terms of an expression: with AND the most restrictive, with OR the least."""
    return evaluate_licence(expression, terms_of, all_of, any_of)


def licences_in(expression: str) -> list[str]:
    """The identifiers in an expression, each once, in their order."""
    leaves: list[str] = evaluate_licence(expression, lambda licence: [licence], _chained, _chained)
    return list(dict.fromkeys(leaves))


def plain(name: str) -> str:
    """A name in small letters and plain words, by which its spellings are equal: `cc by sa 4.0`."""
    text = " ".join(re.sub(r"[-_/]", " ", name.casefold()).split())
    for pattern, short in _PHRASES:
        text = re.sub(pattern, short, text)
    words = [word.rstrip(".") for word in re.findall(r"[a-z0-9.+]+", text)]
    words = [f"{word}.0" if word.isdigit() else word for word in words if word and word not in _FILLERS]
    return " ".join(words)


def _listed(text: str) -> list[str]:
    try:
        listed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return [text]
    return [item if isinstance(item, str) else "" for item in listed] if isinstance(listed, list) else [text]


def _expression(text: str) -> str | None:
    """The expression of one text; None if no name in it is known."""
    urls = [_of_url(match) for match in _URL.finditer(text)]
    text = _OTHER_URL.sub(r"\1 ", _URL.sub(_of_url, text)).strip()
    text = _OR_LATER.sub("-or-later", text)
    if whole := _identifier(text):
        return whole
    return _joined(text) or _joined(re.sub(r"\([^()]*\)", " ", text)) or (_joined(" and ".join(urls)) if urls else None)


def _of_url(match: re.Match[str]) -> str:
    """The name of a licence by its address."""
    kind, name, version = match.groups()
    if kind.lower() == "publicdomain":
        return "CC0-1.0" if name.lower() == "zero" else "public domain"
    return f"cc {name} {version or ''}"


def _joined(text: str) -> str | None:
    """The expression of names with operators between them; None if they form none, or none is known."""
    from license_expression import ExpressionError, Licensing

    pieces: list[str] = []
    known = False
    for piece in _OPERATORS.split(text):
        if piece is None:
            pieces.append("AND")
        elif piece.lower() in ("and", "or", "with", "(", ")"):
            pieces.append(piece.upper())
        elif piece.strip():
            name = _identifier(piece)
            known |= name is not None
            pieces.append(name or UNREAD)
    if not known:
        return None
    try:
        return str(Licensing().parse(" ".join(pieces)))
    except (ExpressionError, RecursionError, IndexError, AssertionError):  # the last two: of brackets such as "()"
        return None


@lru_cache(1 << 16)
def _identifier(name: str) -> str | None:
    """The identifier of a licence by any of its names."""
    words = plain(name)
    if match := _CREATIVE_COMMONS.fullmatch(words):
        order = [element.upper() for element in ("nc", "nd", "sa") if element in match[1].split()]
        elements = "-".join(["CC-BY", *order])
        versioned = f"{elements}-{match[2]}"
        return versioned if match[2] and versioned in _names().values() else f"LicenseRef-{elements}"
    return _names().get(words)


@cache
def _names() -> dict[str, str]:
    """Identifiers by all plain names, without those that say that nothing is stated."""
    from license_expression import get_license_index

    entries = [each for each in get_license_index() if each["spdx_license_key"] and each["category"] != "Unstated License"]
    names: dict[str, str] = {}
    for entry in sorted(entries, key=lambda each: each["is_exception"]):  # a licence goes before an exception of its name
        for name in (entry["spdx_license_key"], entry["license_key"], *entry["other_spdx_license_keys"]):
            names.setdefault(plain(name), entry["spdx_license_key"])
    return names | {plain(licence): licence for licence in OWN_NAMES.values()} | dict(OWN_NAMES)


@lru_cache(1 << 16)
def _parsed(expression: str) -> LicenseExpression:
    from license_expression import Licensing

    return Licensing().parse(expression)


def _fold(node: Any, leaf: Callable[[str], _T], both: Callable[[list[_T]], _T], either: Callable[[list[_T]], _T]) -> _T:
    operator = getattr(node, "operator", "").strip()
    if operator:
        return (both if operator == "AND" else either)([_fold(each, leaf, both, either) for each in node.args])
    symbol = getattr(node, "license_symbol", node)
    return leaf(symbol.key)


def _chained(lists: list[list[str]]) -> list[str]:
    return [item for each in lists for item in each]
