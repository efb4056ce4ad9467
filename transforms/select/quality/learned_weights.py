"""Weights of signals that were learned from the losses of proxies, as a file that a recipe names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError

from tamis.transforms import storage
from tamis.transforms.core.options import Options


class LearnedWeights(Options):
    """What `tamis rate fuse` writes: the mixture with the least predicted loss, and how it was found."""

    weights: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        min_length=1, description="by signal or domain; below 0, less is better"
    )
    law: str = Field(description="trees or log-linear")
    targets: tuple[str, ...] = Field(description="the losses that were predicted; their mean is least")
    predicted: float = Field(allow_inf_nan=False, description="the loss that the law predicts for the weights")
    rank_agreement: dict[str, float] = Field(description="Spearman's ρ on held-out proxies, by law")


def read_weights(uri: str) -> LearnedWeights:
    """The weights in a file. Raises ValueError saying what is wrong with it."""
    try:
        return LearnedWeights.model_validate_json(storage.read_bytes(uri))
    except FileNotFoundError:
        raise ValueError(f"there is no file {uri}; tamis rate fuse writes one") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{uri} is no file of tamis rate fuse: {place or 'JSON'}: {first['msg']}") from None
