"""The base of all options: typed, without unknown fields, with a stable fingerprint.

Importing an options model takes milliseconds: its module imports numba, pyarrow, fastText or Beam
inside the functions that use them, so that `tamis lint` and `tamis schema` start at once.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """The options of one capability. A misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
