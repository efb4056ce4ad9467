"""Finds keys, tokens and passwords: by the prefixes of those who issue them, and by the names that are given to them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from tamis.transforms.edit.pii.found_value import FoundValue

_RUN = re.compile(r"[A-Za-z0-9+/_=.~-]{16,}")
"""A value is in one of these, which has a letter and a digit."""

_ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    + "|".join(
        [
            r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
            r"gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}",
            r"gl(?:pat|ptt|rt|dt|cbt|soat|ft)-[\w-]{20,}",  # GitLab
            r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{10,}",  # Slack
            r"(?<=hooks\.slack\.com/services/)T\w{6,}/B\w{6,}/\w{16,}",
            r"AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{28}",  # Google
            r"sk-(?:[a-z0-9]{2,12}-)*[\w-]{20,}|xai-\w{40,}|gsk_\w{40,}|pplx-\w{40,}|r8_\w{36,}|hf_[A-Za-z0-9]{30,}",  # models
            r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,}",  # Stripe
            r"eyJ[\w-]{8,2000}\.eyJ[\w-]{8,8000}\.[\w-]{0,2000}",  # JSON Web Tokens
            r"npm_[A-Za-z0-9]{36}|pypi-AgEI[\w-]{50,}|rubygems_[0-9a-f]{48}|dckr_pat_[\w-]{20,}",
            r"SG\.[\w-]{16,}\.[\w-]{16,}|key-[0-9a-f]{32}|(?:SK|AC)[0-9a-f]{32}",  # SendGrid, Mailgun, Twilio
            r"do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|shp(?:at|ss|pa|ca)_[0-9a-fA-F]{32}|sq0[a-z]{3}-[\w-]{22,}",
            r"hv[sb]\.[\w-]{24,}|gl(?:sa|c)_[\w=+/]{32,}|NRAK-[A-Z0-9]{27}|lin_api_\w{40}|ntn_\w{40,}|ATATT3[\w=-]{50,}",
            r"AGE-SECRET-KEY-1[A-Z0-9]{58}|\d{8,10}:AA[\w-]{33}",  # Telegram
            r"[MNO][A-Za-z\d_-]{23,25}\.[\w-]{6}\.[\w-]{27,}|(?<=/api/webhooks/)\d{17,20}/[\w-]{60,80}",  # Discord
            r"amzn\.mws\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|ABSK[A-Za-z0-9+/]{40,}={0,2}",  # Amazon
            r"EAACEdEose0cBA[A-Za-z0-9]{20,}|[0-9a-f]{32}-us\d{1,2}|HRKU-[\w-]{36,}|oy2[a-z0-9]{43}|secret_[A-Za-z0-9]{43}",
            r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|dp\.(?:pt|st|ct|sa)\.[A-Za-z0-9]{40,44}",
            r"figd_[\w-]{40,}|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|sbp_[0-9a-f]{40}|pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}",
        ]
    )
    + r")(?![A-Za-z0-9])",
    re.ASCII,
)
_NAMED = re.compile(
    r"(?i)(?<![a-z])(?:[a-z]{0,12}[_-])?(?:api[_ -]?key|apikey|secret(?:[_ -]?(?:access[_ -]?)?key)?|client[_ -]?secret"
    r"|(?:access|auth|refresh|bearer|session|id)?[_ -]?token|passw(?:or)?d|passphrase|pwd|credentials?"
    r"|(?:private|access|account|signing|encryption|master|license)[_ -]?key)s?[\"'`]?\s{0,3}(?:=>|:=|==?|:|%3D)\s{0,3}"
    r"(?:Bearer\s|Basic\s)?[\"'`]?([A-Za-z0-9+/_=.~-]{16,512})",
    re.ASCII,
)
_BEARER = re.compile(r"(?<!\w)(?:Bearer|bearer|Basic) +([A-Za-z0-9+/_=.~-]{16,2048})", re.ASCII)
_URL_PASSWORD = re.compile(
    r"(?<![A-Za-z])[a-z][a-z0-9+.-]{1,20}://[^\s:@/\"'<>]{0,64}:([^\s@/\"'<>]{3,128})@(?=[\w\[])", re.ASCII
)
_PLACEHOLDER = re.compile(r"(?i)x{6}|\.{3}|your|example|<|\*{3}|changeme|placeholder")

_LETTER, _DIGIT = re.compile("[A-Za-z]"), re.compile("[0-9]")
_BEFORE_RUN = 12
"""Characters of a key that may stand before its run: `123456789:` of Telegram's tokens."""
_BEFORE_VALUE = 64
"""Characters before a run in which its name may begin."""
_LEAST_ENTROPY = 3.0
"""Bits for each character of a value that has a name: words and dates have less than keys."""


def secret_values(text: str) -> Iterator[FoundValue]:
    """The keys, tokens and passwords of a line, as they are. A name (`api_key = …`) is no part of its
    value, and its value is one if it has 16 characters or more, letters, digits, and 3 bits of
    entropy a character."""
    found: list[FoundValue] = []
    done = 0
    for run in _RUN.finditer(text):
        if not (_LETTER.search(run[0]) and _DIGIT.search(run[0])):
            continue
        for match in _ISSUED.finditer(text, max(done, run.start() - _BEFORE_RUN), run.end()):
            found.append(FoundValue("secret", *match.span(), match[0]))
        for pattern in (_NAMED, _BEARER):
            for match in pattern.finditer(text, max(done, run.start() - _BEFORE_VALUE), run.end()):
                if _random(match[1]):
                    found.append(FoundValue("secret", *match.span(1), match[1]))
        done = run.end()
    if "@" in text:
        for match in _URL_PASSWORD.finditer(text):
            if not match[1].startswith(("<", "{", "$")):
                found.append(FoundValue("secret", *match.span(1), match[1]))
    last = 0
    for each in sorted(found, key=lambda value: (value.start, -value.stop)):
        if each.start >= last:
            last = each.stop
            yield each


def _random(value: str) -> bool:
    if not _DIGIT.search(value) or not _LETTER.search(value) or _PLACEHOLDER.search(value):
        return False
    counts = Counter(value)
    entropy = -sum(number / len(value) * math.log2(number / len(value)) for number in counts.values())
    return entropy >= _LEAST_ENTROPY


_BEGIN = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(rb"-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(rb"(?:\s{0,4}(?:[A-Za-z0-9+/=]{20,}|[A-Za-z-]{1,20}: [^\n]{0,80}(?=\n)))*(?:\s[A-Za-z0-9+/=]{4,}(?=\s|\Z))?")
_LONGEST_BLOCK = 1 << 16


def private_keys(data: bytes | memoryview) -> Iterator[tuple[int, int]]:
    """The blocks of private keys (PEM, RFC 7468; OpenPGP) in bytes of UTF-8: where each begins and
    ends, with its first and last line. One without its last line ends where the lines of a key do."""
    last = 0
    for begin in _BEGIN.finditer(data):
        if begin.start() < last:
            continue
        following = _BEGIN.search(data, begin.end(), begin.end() + _LONGEST_BLOCK)
        limit = following.start() if following is not None else begin.end() + _LONGEST_BLOCK
        end = _END.search(data, begin.end(), limit) or _BODY.match(data, begin.end(), limit)
        assert end is not None
        last = end.end()
        yield begin.start(), last
