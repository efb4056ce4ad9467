"""What a recipe sets up by name, with options of its own: the base of raters and editors."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.text import SEGMENTATION

FIELDS = ("source", "url", "licence", "date", "metadata")
"""The fields of a document, beside its text, that a component may need."""

METADATA = "metadata."
"""Prefix of the names of metadata fields."""

OptionsT = TypeVar("OptionsT", bound=Options)


class Component(Generic[OptionsT]):
    """It is made in the driver, pickled to the workers, and set up once in each process. Importing
    its module must take milliseconds: models and large libraries are imported inside functions.
    """

    name: str
    """Its key in the recipe."""
    VERSION: ClassVar[int | str] = ""
    """Version of the code. Raise it whenever a text may get another value. By default the name and
    version of the package that provides it."""
    needs: tuple[str, ...] = ()
    """What it sees beside the texts, as `texts[name]`: one of `FIELDS`, or a field of the metadata
    (`metadata.lang`, as text). Each may be null."""
    slow: ClassVar[bool] = False
    """Whether it takes far longer than reading the text does."""
    repeatable: ClassVar[bool] = False
    """Whether a recipe may have several of this kind. The options then have a `name`."""
    example: ClassVar[Mapping[str, Any]] = {}
    """Options to show it with, if some are required."""
    options_type: ClassVar[type[Options]] = Options
    """The model in `Rater[…]` or `Editor[…]`, which checks the options in the recipe."""
    package: str | None = None
    """Name and version of the installed package that provides it; None for Tamis and for objects."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin, options = get_origin(base), get_args(base)
            if isinstance(origin, type) and issubclass(origin, Component) and isinstance(options[0], type):
                cls.options_type = options[0]

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def setup(self) -> None:
        """Loads models and compiles kernels. Called once in each process."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a value can: with the version, the options, the words, and Python's
        tables of Unicode. A component with a model overrides it, to cover the bytes of the model."""
        version = self.VERSION or self.package
        if not version:
            raise ValueError("it has no VERSION, by which Tamis knows that its values have changed")
        options = self.options.model_dump(mode="json")
        return fingerprint([self.name, version, options, SEGMENTATION, unicodedata.unidata_version])
