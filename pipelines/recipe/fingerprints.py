"""What of a recipe determines its rated parts and its decisions: as long as it is the same, they are kept."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from tamis.pipelines.recipe.recipe_blocks import EDIT
from tamis.transforms import storage
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import Rater
from tamis.transforms.select.score_files import ScoreFile
from tamis.transforms.text.words import Words

if TYPE_CHECKING:
    from tamis.pipelines.recipe.schema import Recipe

RATE_VERSION = 6  # raise it when the same input and recipe give other rated/ or sketches/
DECIDE_VERSION = 9  # raise it when the same rated parts and recipe give other files of a release

_OF_BANDS = {"bands", "rows", "ngram", "short", "seed", "scheme"}
"""Options of MinHash that its bands depend on."""

_DECIDES_NOTHING: Final[Any] = {
    **dict.fromkeys(("input", "name", "edit", "rate_unedited", "rate", "requires", "max_shrink"), True),
    "output": {"retain"},
}
"""Fields that cannot change decisions/ and data/, or do so through the rating fingerprint."""


def rate_fingerprint(recipe: Recipe) -> str:
    """Covers everything that can change rated/ and sketches/, except the input bytes."""
    minhash = recipe.dedup.minhash if recipe.dedup is not None else None
    return fingerprint(
        {
            **words_identity(recipe),
            **editors_identity(recipe),
            "code": RATE_VERSION,
            "raters": [[rater.name, _fingerprint("rater", rater)] for rater in recipe.raters],
            "bands": minhash and minhash.model_dump(include=_OF_BANDS, exclude_none=True),
            "input": recipe.input.identity,
        }
    )


def decide_fingerprint(recipe: Recipe) -> str:
    """Covers all that can change decisions/ and data/ or stop the run (`max_rejects`)."""
    return fingerprint(
        {
            "code": DECIDE_VERSION,
            "rate": recipe.rate_fingerprint,
            "recipe": recipe.model_dump(mode="json", exclude=_DECIDES_NOTHING),
            "scores": [_score_versions(name, scores) for name, scores in recipe.scores.items()],
            "against": _released_versions(recipe),
        }
    )


def words_identity(recipe: Recipe) -> dict[str, object]:
    """Everything that determines the words of each document, by keys of a fingerprint."""
    identity: dict[str, object] = {"words": _word_identity(recipe.words)}
    blocks = {section: block.words for section, block in recipe.blocks if block.words is not None}
    if blocks:
        identities = {section: _word_identity(words.applied_to(recipe.words)) for section, words in blocks.items()}
        own = {section: words.model_dump() for section, words in blocks.items()}
        identity["words of blocks"] = [own, identities, _languages_identity(recipe, blocks)]
    if stop_words := {section: block.stop_words for section, block in recipe.blocks if block.stop_words is not None}:
        identity["stop words of blocks"] = [stop_words, _languages_identity(recipe, stop_words)]
    return identity


def editors_identity(recipe: Recipe) -> dict[str, object]:
    """Everything that determines the text that each rater sees, by keys of a fingerprint."""
    sections = {
        section: [[editor.name, _fingerprint("editor", editor)] for editor in editors]
        for section, editors in recipe.editors_by_section.items()
    }
    identity: dict[str, object] = {"editors": sections.pop(EDIT)}
    if sections:
        identity["editors of blocks"] = [sections, _languages_identity(recipe, sections)]
    if recipe.rate_unedited:
        identity["unedited"] = sorted(recipe.rate_unedited)
    return identity


def _languages_identity(recipe: Recipe, sections: Collection[str]) -> object:
    """What tells the language of a document, if any of these sections is for one."""
    if not any(section.startswith("per_language.") for section in sections):
        return None
    measured = {signal.name: rater for rater in recipe.raters if rater.raw for signal in rater.signals}
    raters = {measured[name].name: measured[name] for name in recipe.rules.language_columns if name in measured}
    pairs = [pair.model_dump() for pair in recipe.language_pairs]
    return [pairs, [[name, _fingerprint("rater", rater)] for name, rater in sorted(raters.items())]]


def _score_versions(name: str, scores: ScoreFile) -> list[str]:
    """Changes whenever the files may have changed. Raises RunError if there is none."""
    try:
        paths = [scores.path, *([scores.ids] if scores.ids is not None else [])]
        return [f"{entry.uri} {entry.version}" for entry in storage.expand(paths)]
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"scores.{name}: {error}") from None


def _released_versions(recipe: Recipe) -> list[str]:
    """Changes with the documents that `dedup.against` names. Raises RunError if it names no index."""
    if recipe.dedup is None or not recipe.dedup.against:
        return []
    from tamis.transforms.dedup.released.index_files import FILE, near_settings
    from tamis.transforms.dedup.released.open_indices import open_indices

    segments = open_indices(recipe.dedup.against, near_settings(recipe.dedup.minhash, recipe.words))
    return [f"{segment.name} {storage.sha256(storage.join(segment.folder, FILE))}" for segment in segments]


def _word_identity(words: Words) -> dict[str, object]:
    try:
        return words.identity
    except ImportError as error:
        raise RunError(str(error)) from None


def _fingerprint(kind: str, component: Rater[Any] | Editor[Any]) -> str:
    """The fingerprint of a rater or an editor. This reads its model or benchmarks."""
    try:
        return component.fingerprint
    except RunError:
        raise
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"{kind} '{component.name}': {error}") from None
    except Exception as error:  # of another package
        raise RunError(f"{kind} '{component.name}': {type(error).__name__}: {error}") from error
