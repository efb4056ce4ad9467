"""The options of documents that have one address."""

from typing import Literal

from pydantic import Field

from tamis.transforms.core.options import Options

Keep = Literal["best", "newest", "oldest", "longest", "hash"]
Variant = Literal["www", "slash", "order", "tracking"]


class RepeatedUrls(Options):
    """One document for each address. A document without one is kept.

    Addresses are compared as a browser reads them: without the scheme, the user, the port and the
    fragment, with the host in lower case, dot segments resolved, and one way of escaping.
    """

    keep: Keep = Field(
        "best",
        description="which one stays: that of the best quality, the newest or the oldest by its `date`, the longest, or the "
        "one that a seeded hash of the id picks; of equals, the one of the best quality. A document without a date goes behind "
        "those that have one",
    )
    ignore: tuple[Variant, ...] = Field(
        ("www", "slash", "order", "tracking"),
        description="differences that do not count: www before the host, a slash at the end of the path, the order of the "
        "parameters of the query, and parameters that follow visitors and sessions, such as utm_source, gclid and PHPSESSID",
    )
    parameters: tuple[str, ...] = Field(
        (),
        description="more parameters that do not count, by name, in any case; sort* stands for all names that begin with sort",
    )
