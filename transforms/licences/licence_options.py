"""The options of decisions by licence: the section `licences` of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tamis.transforms.core.options import Options

TERMS = ("commercial", "non-commercial", "academic", "attribution", "share-alike")
"""What `allow` and `deny` may name beside licences."""


def _known(name: str) -> str:
    """Raises ValueError unless this licence is known."""
    from tamis.transforms.licences.licence_names import UNREAD, licences_in, read_licence

    licence = read_licence(name)
    if licence is None or UNREAD in licences_in(licence):
        raise ValueError(
            f"no licence is called '{name}': write it as SPDX does, such as CC-BY-4.0, MIT or MIT AND CC-BY-SA-3.0"
        )
    return name


def _known_entry(name: str) -> str:
    """Raises ValueError unless this is one of `TERMS` or one known licence."""
    from tamis.transforms.core.errors import nearest
    from tamis.transforms.licences.licence_names import licences_in, read_licence

    if name in TERMS:
        return name
    if read_licence(name) is None and (near := nearest(name, TERMS)):
        raise ValueError(f"'{name}' is neither a licence nor one of {', '.join(TERMS)}: did you mean '{near}'?")
    if len(licences_in(str(read_licence(_known(name))))) > 1:
        raise ValueError(f"'{name}' names several licences: list each of them")
    return name


Licence = Annotated[str, AfterValidator(_known)]
Entry = Annotated[str, AfterValidator(_known_entry)]


class Licences(Options):
    """Decides about documents by their licence, the field `licence` (see `input.fields`), which may be an SPDX
    expression, a name as people write it, an address of Creative Commons, or a JSON list of these. A document under
    several licences needs all of them to pass; `OR` is a choice, of which one must."""

    by_source: dict[str, Licence] = Field(
        {}, description="Licences of whole sources. They hold beside the documents' own, or alone where there is none."
    )
    names: dict[str, Licence] = Field({}, description="What texts in the field mean that are no known names, in any case.")
    allow: tuple[Entry, ...] = Field(
        (),
        description="What passes: licences, or `commercial`, `non-commercial`, `academic` (all licences for this use or a "
        "wider one), `attribution`, `share-alike` (all that ask for it). CC-BY without a version stands for every version. "
        "Empty: all licences for a known use.",
    )
    deny: tuple[Entry, ...] = Field(
        (),
        description="What does not pass, even if `allow` names it: licences, or `non-commercial`, `academic` (all licences "
        "that are for this use or a narrower one only), `attribution`, `share-alike`.",
    )
    unknown: Literal["restrict", "review", "allow"] = Field(
        "restrict",
        description="What happens to documents without a licence, with one that is not known, or with one that says nothing "
        "known of its use: `restrict` treats them as if it were denied.",
    )
    action: Literal["drop", "review"] = Field("drop", description="What happens to documents whose licence does not pass.")
