"""The dataset card of a corpus: a README.md as Hugging Face reads it."""

import json
from collections.abc import Sequence
from typing import Final

from tamis.transforms.core.manifest import Manifest, record_counts

CARD: Final = "README.md"


UNKNOWN: Final = "Licence, language and consent are those of its sources, which this card does not know."


def dataset_card(manifest: Manifest, files: str, header: Sequence[str] = (), about: Sequence[str] = (UNKNOWN,)) -> str:
    """What the corpus is, how to read it, and what was dropped for which reason, in Markdown.
    `files` is the glob of its shards, `header` more lines of YAML, `about` lines about its texts. The recipe
    is without its input, whose paths are those of your machines."""
    recipe, counts = manifest["recipe"], manifest["counts"]
    decisions = record_counts(counts)
    rows = [("read", decisions.pop("records")), *((name, count) for name, count in decisions.items() if count)]
    reasons = [(reason["reason"], reason["documents"]) for reason in counts["reasons"] if reason["documents"]]
    tokenizer = manifest.get("tokenizer")
    counted = f"counted by {tokenizer['name']}" if tokenizer else "an estimate for cl100k_base"
    return "\n".join(
        (
            "---",
            "configs:",
            "- config_name: default",
            f"  data_files: {files}",
            *header,
            "---",
            "",
            f"# {recipe.get('name', 'corpus')}",
            "",
            f"{counts['kept']:,} documents, {manifest['curriculum']['tokens']:,} tokens of training ({counted}), in training "
            f"order: do not shuffle. Made by Tamis {manifest['tamis']}; the Merkle root of its shards is "
            f"`{manifest['corpus_root']}`.",
            "",
            *about,
            "",
            *_table("records", rows),
            "",
            *(_table("reason", sorted(reasons, key=lambda row: (-row[1], row[0]))) if reasons else ()),
            *([""] if reasons else ()),
            *_table("source", [(source, count.get("kept", 0)) for source, count in sorted(counts["sources"].items())]),
            "",
            "The recipe, as JSON and without its input:",
            "",
            "```json",
            json.dumps({name: value for name, value in recipe.items() if name != "input"}, indent=1, ensure_ascii=False),
            "```",
            "",
        )
    )


def _table(head: str, rows: list[tuple[str, int]]) -> list[str]:
    cells = (f"| {name.replace('|', chr(92) + '|')} | {count:,} |" for name, count in rows)
    return [f"| {head} | documents |", "|---|---|", *cells]
