"""The options of lines, paragraphs and sentences that repeat between texts."""

from typing import ClassVar, Literal

from pydantic import Field

from tamis.transforms.core.options import Options

Unit = Literal["line", "paragraph", "sentences"]


class Repeats(Options):
    """A piece of text that is in many texts is cut from all of them, or from all but the best. It must
    be equal to the letter, without the white space around it; it counts once per text, and equal
    texts count as one. Blank pieces do not count."""

    unit: ClassVar[Unit]
    """What is compared."""

    within: Literal["corpus", "source", "host"] = Field(
        "corpus",
        description="whose texts are compared: all, those of one source, or those of one host of `url`, in lower case; without "
        "a host, a document keeps all of its text",
    )
    documents: int = Field(2, ge=2, description="what is in at least so many different texts counts as repeated")
    keep: Literal["none", "best"] = Field(
        "best",
        description="none: it is cut from all texts; best: it stays in the document of the best quality, and a hash of the id "
        "breaks ties",
    )
    characters: int = Field(0, ge=0, description="pieces with fewer characters never count")
    drop_above: float | None = Field(
        None,
        ge=0,
        le=1,
        description="drop a document instead of cutting it if more than this share of its bytes would be cut; what it alone "
        "keeps is lost",
    )

    @property
    def length(self) -> int:
        """How many of them in a row are one piece."""
        return 1


class RepeatedLines(Repeats):
    """Lines: what stands between line breaks. The defaults find boilerplate, the lines that many texts
    of a host have."""

    unit = "line"

    within: Literal["corpus", "source", "host"] = Field("host", description=Repeats.model_fields["within"].description)
    documents: int = Field(5, ge=2, description=Repeats.model_fields["documents"].description)
    keep: Literal["none", "best"] = Field("none", description=Repeats.model_fields["keep"].description)


class RepeatedParagraphs(Repeats):
    """Paragraphs: what stands between blank lines. Where extraction writes one line for each paragraph,
    as of web pages, take `lines`."""

    unit = "paragraph"


class RepeatedSentences(Repeats):
    """Every few sentences in a row, as in C4 (Raffel et al. 2020, section 2.2): of a span of three
    sentences that occurs more than once, all but one are cut. Texts with fewer sentences keep theirs."""

    unit = "sentences"

    in_a_row: int = Field(3, ge=1, le=20, description="how many sentences in a row are compared")

    @property
    def length(self) -> int:
        return self.in_a_row
