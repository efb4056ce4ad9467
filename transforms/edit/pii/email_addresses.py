"""Finds e-mail addresses, those of other alphabets and those written for people only (`name (at) host`) included."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tamis.transforms.edit.pii.found_value import FoundValue

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Letters of scripts that put no space between an address and the word beside it."""
_LETTER = rf"[^\W{_UNSPACED}]"
_WIDE = rf"[{_UNSPACED}]"

_AT = re.compile(
    r"(?i)@|%40|&#0*64;|&#x0*40;|&commat;| ?(?:\( ?(?:at|@) ?\)|\[ ?(?:at|@) ?\]|\{ ?(?:at|@) ?\}|< ?at ?>) ?| at "
)
_LOCAL = re.compile(rf"(?:{_LETTER}(?:{_LETTER}|[.+%'-])*|{_WIDE}(?:{_WIDE}|[\w.+-])*)\Z")
_DOT = r"(?i:\.| ?(?:\( ?(?:dot|\.) ?\)|\[ ?(?:dot|\.) ?\]|\{ ?(?:dot|\.) ?\}) ?| dot )"
_SPOKEN_LOCAL = re.compile(rf"{_LETTER}(?:{_LETTER}|[.+'-])*(?:{_DOT}{_LETTER}(?:{_LETTER}|[.+'-])*){{0,4}}\Z")
_SPACED_LOCAL = re.compile(rf"(?<!\w)(?![0-9]+ \.){_LETTER}+(?: ?[._-] ?{_LETTER}+)*\Z")
_LONGEST_LOCAL = 64

_LABEL = rf"(?:{_LETTER}(?:{_LETTER}|-){{0,62}}|{_WIDE}{{1,62}})"
_GLUED = r"(?:com|net|org|edu|gov|info)(?=[A-Z0-9])"
"""An end to which the next word sticks: `name@host.comPhone`."""
_LAST = rf"(?:{_GLUED}|[^\W\d_{_UNSPACED}]{{2,12}}(?=https?://|www\.)|(?:xn--[A-Za-z0-9-]{{2,59}}|[^\W\d_{_UNSPACED}]{{2,24}})(?!{_LETTER})|{_WIDE}{{2,12}})"
_DOMAIN = re.compile(rf"(?:{_LABEL}{_DOT}){{1,8}}(?:{_LAST})")
_NEXT_SENTENCE = re.compile(r"(?<=\.(?:com|net|org|edu|gov))\.[A-Z][a-z]+\Z")
_WORDED_DOMAIN = re.compile(rf"(?:{_LABEL}(?i: dot )){{1,4}}(?i:[a-z]{{2,12}}(?!\w)(?! at ))")
_COUNTRIES = (
    "ar|au|bg|br|ch|cl|cn|co|cz|de|dk|ee|eg|es|eu|fi|fr|gr|hk|hr|hu|il|ir|jp|ke|kr|lt|lv|mx|ng|nl|nz|pk|pl|pt|ro|ru|se|sg|si|sk"
    "|tr|tv|tw|ua|uk|za"
)
"""Ends of domains that are no English words."""
_SPACED_DOMAIN = re.compile(
    rf" ?{_LABEL}(?: ?[.-] ?{_LABEL})*? ?\. ?"
    rf"(?i:(?:com|net|org|edu|gov|mil|info|biz)(?: ?\. ?(?:{_COUNTRIES}))?|{_COUNTRIES})(?!\w)"
)

_SAID = re.compile(r"(?i) ?[(\[{] ?(?:dot|\.) ?[)\]}] ?| dot ")
_FREE_MAIL = re.compile(r"(?i) ?(?:gmail|googlemail|yahoo|hotmail|outlook|live|aol|icloud|gmx|protonmail|msn)\b")

_WEB = re.compile(r"(?i) ?www ?\.")
_MAIL = re.compile(r"(?i)\be-?mail\b|\bmail (?:to|at)\b")
"""What says before an address with a space at one side of its @ that it is one."""

_FILES = frozenset(
    [
        *(
            "png",
            "jpg",
            "jpeg",
            "gif",
            "svg",
            "webp",
            "bmp",
            "ico",
            "css",
            "js",
            "jsx",
            "tsx",
            "mjs",
            "htm",
            "html",
            "php",
            "asp",
        ),
        *(
            "aspx",
            "jsp",
            "json",
            "xml",
            "yaml",
            "yml",
            "txt",
            "pdf",
            "doc",
            "docx",
            "xls",
            "xlsx",
            "csv",
            "zip",
            "gz",
            "tar",
            "tgz",
        ),
        *("exe", "dll", "jar", "class", "cpp", "hpp", "lock", "local", "localdomain", "localhost", "internal"),
    ]
)
"""Endings of files and of hosts in a local network, which are no domains."""
_MESSAGE_IDS = re.compile(r"(?i)\W*(?:(?:resent-)?message-?id|in-reply-to|references|content-id)\s*:")
"""Headers whose values look like addresses and are none: they name a message or a part of it."""


def email_addresses(text: str) -> Iterator[FoundValue]:
    """The addresses of a line, in lower case as their values.

    No addresses are: Message-IDs in their headers, the user of a URL (`ssh://git@host`), `git@host:`,
    names without a dot behind the @, and names of files (`logo@2x.png`).
    """
    last = 0
    if _MESSAGE_IDS.match(text):
        return
    for at in _AT.finditer(text):
        found = _address(text, at, last)
        if found is not None:
            last = found.stop
            yield found


def _address(text: str, at: re.Match[str], last: int) -> FoundValue | None:
    start, stop = at.span()
    first = max(last, start - _LONGEST_LOCAL)
    if at[0] == "@" and (text[max(start - 1, 0) : start] == " " or text[stop : stop + 1] == " "):
        space = start - 1 if text[start - 1 : start] == " " else start
        local, domain = _SPACED_LOCAL.search(text, first, space), _SPACED_DOMAIN.match(text, stop)
        if domain and _WEB.match(domain[0]):
            return None  # look @ www . host . com
        said = local is not None and _MAIL.search(text, max(0, local.start() - _LONGEST_LOCAL), local.start())
        if local and domain and " ." not in domain[0] and local[0].isalpha() and not said and not _FREE_MAIL.match(domain[0]):
            return None  # shop @ host.com
    elif at[0].lower() == " at ":
        local, domain = _SPOKEN_LOCAL.search(text, first, start), _WORDED_DOMAIN.match(text, stop)
    elif "at" in at[0].lower():
        local, domain = _SPOKEN_LOCAL.search(text, first, start), _DOMAIN.match(text, stop)
    else:
        local, domain = _LOCAL.search(text, first, start), _DOMAIN.match(text, stop)
    if local is None or domain is None:
        return None
    end = domain.end()
    if sentence := _NEXT_SENTENCE.search(text, domain.start(), end):
        end = sentence.start()
    before = text[max(0, local.start() - 2) : local.start()]
    if before == "//" or (local[0] == "git" and text[end : end + 1] == ":"):
        return None
    host = _dotted(text[domain.start() : end])
    if host.rpartition(".")[2] in _FILES:
        return None
    return FoundValue("email", local.start(), end, f"{_dotted(local[0])}@{host}")


def _dotted(written: str) -> str:
    """A name or a domain with dots for what is said for them, in lower case."""
    return _SAID.sub(".", written).replace(" ", "").lower()
