"""The editor `pii`: replaces e-mail and IP addresses, telephone, card and account numbers, keys and passwords."""

from __future__ import annotations

import functools
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tamis.transforms import storage
from tamis.transforms.core.editor import Editor, Edits
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Signal
from tamis.transforms.edit.pii.found_value import KINDS, Kind

if TYPE_CHECKING:
    from tamis.transforms.edit.pii.found_value import FoundValue
    from tamis.transforms.edit.pii.personal_values import Finder
    from tamis.transforms.text.segment import Texts

_SOURCE = "counted by Tamis"

COUNTRIES = (
    *(
        "US",
        "GB",
        "IE",
        "DE",
        "FR",
        "IT",
        "ES",
        "NL",
        "BE",
        "CH",
        "AT",
        "SE",
        "FI",
        "GR",
        "UA",
        "RU",
        "TR",
        "IL",
        "AU",
        "NZ",
        "IN",
    ),
    *("PK", "CN", "JP", "KR", "TH", "VN", "ID", "MY", "PH", "ZA", "NG", "KE", "EG", "BR", "AR"),
)
"""The countries whose national numbers are looked for by default."""

Token = Annotated[str, Field(min_length=1, pattern=r"^[^\n\r]+$")]
"""One line."""

_LEAST_KEY = 16


class Pii(Options):
    """What is replaced, and by what."""

    kinds: tuple[Kind, ...] = Field(
        KINDS,
        min_length=1,
        description="what is replaced: e-mail addresses, IP addresses, telephone numbers, numbers of payment cards, IBANs, and "
        "secrets (keys, tokens, passwords)",
    )
    ips: Literal["public", "all"] = Field(
        "public", description="public: only addresses that the internet routes; all: those of local networks and examples, too"
    )
    countries: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(
        COUNTRIES,
        description="countries (ISO 3166) whose telephone numbers are found as they are written at home; numbers with `+`, or "
        "behind a word such as `Tel.`, are found of all countries",
    )
    replace: Literal["tokens", "placeholders"] = Field(
        "tokens",
        description="tokens: one text for each kind; placeholders: `<EMAIL-1f6b03c97a2e>`, the same for the same value",
    )
    tokens: dict[Kind, Token] = Field(
        {}, description="what stands for a kind, as in `{email: email@example.com}`; `<EMAIL>`, `<IP>`, … for the others"
    )
    seed: int = Field(
        0, ge=0, description="of the placeholders; whoever knows it can find a value by trying, since it is no secret"
    )
    key_file: str | None = Field(
        None,
        description="path of a file whose bytes, at least 16, key the placeholders instead of the seed; without it nobody can "
        "tell a value from its placeholder by trying",
    )

    @model_validator(mode="after")
    def _is_used(self) -> Pii:
        if self.replace == "placeholders" and self.tokens:
            raise ValueError("`tokens` is not used with `replace: placeholders`: leave one of them out")
        if self.replace == "tokens" and (self.key_file is not None or self.seed):
            raise ValueError("`seed` and `key_file` are of placeholders: add `replace: placeholders`")
        if self.countries != COUNTRIES and (unknown := set(self.countries) - _countries()):  # the library takes .02 s
            raise ValueError(f"no telephone numbers are known of {', '.join(sorted(unknown))}: use codes of ISO 3166, as GB")
        return self


@functools.cache
def _countries() -> frozenset[str]:
    from phonenumbers import SUPPORTED_REGIONS

    return frozenset(SUPPORTED_REGIONS)


class PiiEditor(Editor[Pii]):
    """Replaces personal data. A kernel finds the lines with a sign of them (an @, seven digits, …),
    and only these are given to the finders of each kind, again until they find nothing more: editing
    an edited text changes nothing.

    The signals count what was replaced, so that a threshold can drop what is a list of addresses
    (`edit.pii.values`: different values) or a curriculum vitae (`edit.pii.cv_headings`).
    """

    name = "pii"
    VERSION = 2
    reasons = KINDS
    inserts = True
    measures = (
        *(Signal(f"edit.pii.{kind}s", "int64", f"{kind}s", "down", _SOURCE, 0, 10, least=0) for kind in KINDS),
        Signal("edit.pii.values", "int64", "different values", "down", _SOURCE, 0, 10, least=0),
        Signal("edit.pii.cv_headings", "int64", "different headings", "down", _SOURCE, 0, 3, least=0),
    )

    @property
    def fingerprint(self) -> str:
        """Covers the versions of phonenumbers and python-stdnum, and the bytes of the key."""
        parts = [super().fingerprint, version("phonenumbers"), version("python-stdnum")]
        if (path := self.options.key_file) is not None:
            if not storage.exists(path):
                raise FileNotFoundError(f"{path}: no such key file; make one with: head -c 32 /dev/urandom > {path}")
            if len(storage.read_bytes(path)) < _LEAST_KEY:
                raise ValueError(f"{path}: a key needs {_LEAST_KEY} bytes; make one with: head -c 32 /dev/urandom > {path}")
            parts.append(storage.sha256(path))
        return fingerprint(parts)

    def edit(self, texts: Texts) -> Edits:
        from tamis.transforms.edit.pii.replaced_values import replaced_values

        return replaced_values(texts, self.finder())

    def finder(self) -> Finder:
        """What finds and replaces, as these options say."""
        from tamis.transforms.edit.pii.personal_values import Finder
        from tamis.transforms.edit.pii.placeholders import PLACEHOLDER, placeholder, placeholder_key

        options = self.options
        key = placeholder_key(options.seed, options.key_file) if options.replace == "placeholders" else b""
        tokens = {kind: options.tokens.get(kind, f"<{kind.upper()}>") for kind in KINDS}
        written = re.compile("|".join(map(re.escape, sorted(tokens.values(), key=len, reverse=True))))

        def replacement(found: FoundValue) -> str:
            return placeholder(found, key) if key else tokens[found.kind]

        return Finder(
            frozenset(options.kinds),
            options.ips == "public",
            options.countries,
            replacement,
            PLACEHOLDER if key else written,
            inert=all(re.fullmatch("<[A-Za-z_]+>", token) for token in tokens.values()),
        )
