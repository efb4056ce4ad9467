"""The options of a table of what hosts disallow for crawlers: the section `consent` of a recipe."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from tamis.transforms.core.options import Options
from tamis.transforms.urls.list_options import Match

Column = Literal["host", "path", "agents", "from", "to"]

COLUMNS: Final[tuple[Column, ...]] = ("host", "path", "agents", "from", "to")


class Consent(Options):
    """Decides about documents by what their hosts disallow for crawlers, such as in robots.txt."""

    robots: str = Field(
        min_length=1,
        description="A file or glob of tables: Parquet, CSV, TSV or JSON Lines, text also with .gz. Its columns are `host`; "
        "`agents`, those that are disallowed, as a list or a text (`*`: all); and if they are there, `path`, with which "
        "disallowed paths begin, and `from` and `to`, the days of documents for which a row holds. A host without "
        "disallowed agents disallows nothing.",
    )
    agents: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1, description="The agents that count, in any case: a row that disallows one of them holds."
    )
    missing: Literal["allow", "deny"] = Field(
        "allow", description="What holds for hosts that are not in the table, and for documents without an address."
    )
    action: Literal["drop", "review"] = Field("drop", description="What happens to documents that are disallowed.")
    match: Match = Field(
        "exact",
        description="For which hosts a row holds: `exact`, as robots.txt, for its host; `below` for all hosts below it, too; "
        "`domain`: a registrable domain for all hosts in it.",
    )
    fields: dict[Column, str] = Field({}, description="Names of columns that are called otherwise, as in `{host: domain}`.")
