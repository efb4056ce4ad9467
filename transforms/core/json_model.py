"""The base of the JSON files of a run directory: typed models with one reader and one writer."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tamis.transforms import storage


class JsonModel(BaseModel):
    """One JSON file. Unknown keys are ignored, so that files of other versions can be read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def read(cls, uri: str) -> Self | None:
        """The model in a file; None if it is missing or unreadable, as after a power loss."""
        try:
            return cls.model_validate_json(storage.read_bytes(uri))
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, uri: str, durable: bool = True) -> None:
        """Writes the file, which appears when complete. If `durable`, it survives a power loss."""
        storage.write_bytes(uri, self.model_dump_json().encode(), durable)
