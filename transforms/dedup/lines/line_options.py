"""The options of lines that repeat within a host or a source."""

from typing import Literal

from pydantic import Field

from tamis.transforms.core.options import Options


class RepeatedLines(Options):
    """Boilerplate by document frequency: a line that many texts of a host have is cut from all.

    A line is what stands between line breaks, without the white space around it; it counts once per
    text, and equal texts count as one. Blank lines do not count.
    """

    within: Literal["host", "source"] = Field(
        "host",
        description="whose texts are compared: those of the same host of `url`, in lower case, or of the same source; a "
        "document without a host keeps its lines",
    )
    documents: int = Field(5, ge=2, description="a line that is in at least so many different texts is cut from all of them")
