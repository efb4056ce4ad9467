"""The base of all options: typed, without unknown fields, with a stable fingerprint; and their numbers.

Importing an options model takes milliseconds: its module imports numba, pyarrow, fastText or Beam
inside the functions that use them, so that `tamis lint` and `tamis schema` start at once.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

_NUMBER = r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?"


@dataclass(frozen=True)
class NumberText:
    """Lets a number be written as text with one of these units, in any case: 12_800_000, 12.8e6,
    12.8M. Stands last in `Annotated[int, Field(ge=0), …]`, so that the limits are of the number."""

    units: tuple[tuple[str, int], ...]
    end: str = ""
    """A regular expression for what may follow the unit."""

    @property
    def pattern(self) -> str:
        names = "|".join(f"[{name[0].lower()}{name[0].upper()}]{name[1:]}" for name, _ in reversed(self.units))
        return rf"^{_NUMBER}\s?({names})?{self.end}$"

    def parse(self, value: Any) -> Any:
        """The number that a text says. Other values stay as they are, for a type to refuse."""
        match = re.match(self.pattern, value) if isinstance(value, str) else None
        if match is None:
            return value
        unit = match[1] or ""
        digits = re.match(_NUMBER, value)
        assert digits is not None
        number = Decimal(digits[0].replace("_", "")) * dict(self.units).get(unit.lower(), 1)
        return int(number) if number == number.to_integral_value() and (unit or "." not in value) else float(number)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self.parse, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": self.pattern}]}


_THOUSANDS = (("k", 10**3), ("m", 10**6), ("b", 10**9), ("t", 10**12))
_BYTE_UNITS = (("k", 10**3), ("m", 10**6), ("g", 10**9), ("t", 10**12))
_BINARY_UNITS = (("ki", 2**10), ("mi", 2**20), ("gi", 2**30), ("ti", 2**40))

UNITS = NumberText(_THOUSANDS)
BYTE_UNITS = NumberText((*_BYTE_UNITS, *_BINARY_UNITS), "[bB]?")

Count = Annotated[int, Field(ge=0), UNITS]
"""A number of tokens, documents or items: 12800000, 12_800_000, 12.8e6, 12.8M, 100B, 1.5T."""

PositiveCount = Annotated[int, Field(ge=1), UNITS]
"""A `Count` of at least 1."""

Number = Annotated[float, Field(allow_inf_nan=False), UNITS]
"""A finite number, which may be written as a `Count` is."""

Bytes = Annotated[int, Field(ge=1), BYTE_UNITS]
"""A size in bytes: 48000000, 48M, 48MB; 48MiB is 48 · 2^20."""


NAMES = "should be of small letters, digits and _, and begin with a letter"
"""What the name of a function is."""


class Options(BaseModel):
    """The options of one capability. A misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of_call(cls, **arguments: Any) -> Self:
        """The options that are the arguments of a call. Raises ValueError naming those that are wrong."""
        try:
            return cls(**arguments)
        except ValidationError as error:
            messages = []
            for entry in error.errors():
                name = str(entry["loc"][0]) if entry["loc"] else ""
                field = cls.model_fields.get(name)
                expected = field.description if field and "pattern" in entry["type"] else None
                message = entry["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
                messages.append(f"{name}={arguments[name]!r} {expected or message}" if name else message)
            raise ValueError("; ".join(messages)) from None

    def fingerprint(self) -> str:
        """16 hex digits over all options, defaults included."""
        return fingerprint(self.model_dump(mode="json"))


@dataclass(frozen=True)
class StepOf:
    """Marks a field of a recipe: its options make a step of Decide, the class `module:name`. It is
    named by text, so that reading a recipe does not import Beam."""

    path: str

    def load(self) -> Any:
        """The class."""
        module, _, name = self.path.partition(":")
        return getattr(import_module(module), name)


def fingerprint(value: object) -> str:
    """16 hex digits of BLAKE2b over the canonical JSON of `value` (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
