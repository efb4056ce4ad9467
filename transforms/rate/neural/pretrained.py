"""A pretrained model that a recipe names: its options, its files, and what identifies it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import Field, model_validator

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, missing_package
from tamis.transforms.core.options import Options, PositiveCount

if TYPE_CHECKING:
    from tamis.transforms.rate.neural.network import Network

Place = Literal["begin", "middle", "end"]

Head = Literal["classifier", "mean", "first"]
"""What becomes of the outputs of a transformer: the logits of its classifier; or one vector, the mean over
the tokens or the one at the first."""

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
WEIGHTS: Final = "*.safetensors"
_FILES: Final = (CONFIG, TOKENIZER, WEIGHTS, "*.safetensors.index.json")


class Pretrained(Options):
    """A pretrained model, and how much of a text it reads."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the rater, with which its signals begin.")
    model: str = Field(
        description="Path of a folder with config.json, tokenizer.json and weights in the safetensors format; with `revision`, "
        "the name of a model on the Hugging Face hub."
    )
    revision: str | None = Field(
        None, pattern="^[0-9a-f]{40}$", description="The commit of a model on the hub, in full: branches and tags move."
    )
    max_tokens: PositiveCount = Field(
        512, description="Most tokens that the model reads at once, its own special ones included."
    )
    windows: tuple[Place, ...] = Field(
        ("begin",),
        min_length=1,
        description="Parts of a longer text, of `max_tokens` each, that are read: `begin`, `middle`, `end`. Their values are "
        "averaged.",
    )
    batch_tokens: PositiveCount | None = Field(
        None,
        description="Tokens that are computed together, with padding: 65,536 suit a GPU. By default each window is computed "
        "alone, without padding: a processor is as fast, and the same text has the same bits in any company.",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the model is computed.")
    precision: Literal["float32", "bfloat16", "int8"] = Field(
        "float32",
        description="How exactly: bfloat16 suits a GPU, int8 a processor. Both change values a little, so choose limits with "
        "the precision that you rate with.",
    )
    decimals: int = Field(4, ge=0, le=7, description="Decimals to which values are rounded, so that processors agree on them.")

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if len(set(self.windows)) < len(self.windows):
            raise ValueError("windows names a part twice")
        if self.device == "cuda" and self.batch_tokens is None:
            raise ValueError("a GPU computes one window as slowly as a hundred: give batch_tokens, such as 65536")
        if self.device == "cuda" and self.precision == "int8":
            raise ValueError("precision int8 is for the device cpu: choose bfloat16 for a GPU")
        return self

    def identity(self) -> list[str]:
        """What changes whenever the model does: the commit, or the SHA-256 of every file.

        Raises FileNotFoundError if there is no such folder, RunError if a file is missing in it.
        """
        if self.revision is not None:
            return [self.model, self.revision]
        return [f"{file.name} {storage.sha256(str(file))}" for file in _files(Path(self.model))]

    def folder(self) -> Path:
        """The folder of the files, which are fetched from the hub unless its cache has them.

        Raises FileNotFoundError or RunError.
        """
        folder = Path(self.model) if self.revision is None else _fetched(self.model, self.revision)
        _files(folder)
        return folder


def network_of(options: Pretrained, head: Head) -> Network:
    """The transformer in memory. Raises ImportError without torch and transformers, else as `shared_network`
    does."""
    try:
        from tamis.transforms.rate.neural.network import shared_network
    except ModuleNotFoundError as error:
        raise ImportError(missing_package("a transformer", error.name or "transformers")) from error
    return shared_network(options, head)


def _files(folder: Path) -> list[Path]:
    """The files of a model by name."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; for a model of the Hugging Face hub, give its commit as `revision`")
    for needed in (CONFIG, TOKENIZER, WEIGHTS):
        if not any(folder.glob(needed)):
            pickled = needed == WEIGHTS and any(folder.glob("*.bin"))
            hint = ": weights in a pickle could run code, so convert them to safetensors" if pickled else ""
            raise RunError(f"{folder}: it has no {needed}{hint}")
    return sorted({file for pattern in _FILES for file in folder.glob(pattern)})


@cache
def _fetched(model: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_FILES), library_name="tamis"))
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors
        raise RunError(
            f"{model}@{revision}: the hub does not give this model ({str(error).splitlines()[0]}): correct the name or the "
            "commit, log in with `hf auth login`, or put its files into a folder and name that"
        ) from error
