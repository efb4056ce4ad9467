"""Describes a release in Croissant 1.1, the JSON-LD of data sets, with its provenance in PROV-O."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from tamis.pipelines.cards.corpus_facts import CorpusFacts
from tamis.transforms.core.manifest import release_path
from tamis.transforms.core.release import Release
from tamis.transforms.core.shards import read_shard

_LANGUAGE_MAP: Final = {"@container": "@language"}
_TERMS: Final = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject", "fileProperty"),
    *(
        "fileSet",
        "format",
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
    ),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": _LANGUAGE_MAP,
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": _LANGUAGE_MAP,
    **{term: f"cr:{term}" for term in _TERMS},
}

_FORMATS: Final = {"parquet": "application/x-parquet", "jsonl.zst": "application/jsonlines"}


def croissant(release: Release, facts: CorpusFacts) -> dict[str, Any]:
    """The description. Paths are below the folder of the release. Raises OSError if its first shard is not there,
    whose columns are those of all."""
    manifest = release.manifest
    suffix = manifest["recipe"]["output"]["format"]
    shards = [file for file in manifest["files"] if release_path(file["path"]).startswith("data/")]
    files = [
        {
            "@type": "cr:FileObject",
            "@id": release_path(file["path"]),
            "name": release_path(file["path"]),
            "contentUrl": release_path(file["path"]),
            "contentSize": f"{file['bytes']} B",
            "encodingFormat": _FORMATS[suffix],
            "sha256": file["sha256"],
        }
        for file in shards
    ]
    shard_set = {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": "All shards, in training order by their paths.",
        "encodingFormat": _FORMATS[suffix],
        "includes": f"data/*/*.{suffix}",
    }
    schema = read_shard(f"{release.run}/{shards[0]['path']}").schema if shards else pa.schema([])
    fields = [_field("documents", column, suffix == "parquet", ()) for column in schema]
    records = {"@type": "cr:RecordSet", "@id": "documents", "name": "documents", "field": fields}
    licences = facts.licences.known
    description: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": manifest["recipe"].get("name", "corpus"),
        "description": f"{facts.documents:,} documents in training order, made by Tamis {manifest['tamis']}. The Merkle root "
        f"of its shards is {manifest['corpus_root']}.",
        "version": f"{release.number}.0.0",
        "distribution": [*files, shard_set],
        "recordSet": [records] if fields else [],
        "prov:wasDerivedFrom": [{"@id": uri} for uri in sorted({entry["uri"] for entry in manifest["inputs"]})],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "@id": f"#release-{release.number}",
            "prov:label": f"the recipe {manifest['recipe'].get('name', 'corpus')}, fingerprint {manifest['fingerprint']}",
            "prov:wasAssociatedWith": {
                "@type": "prov:SoftwareAgent",
                "@id": "#tamis",
                "prov:label": f"Tamis {manifest['tamis']}",
            },
        },
        "rai:dataPreprocessingProtocol": [name for name, value in manifest["recipe"].items() if value and name in _STEPS],
    }
    if finished := manifest["environment"].get("finished"):
        description["datePublished"] = finished
    if licences:
        description["license"] = licences
    if facts.languages.known:
        description["inLanguage"] = facts.languages.known
    return description


_STEPS: Final = ("edit", "url_lists", "consent", "licences", "decontaminate", "thresholds", "dedup", "select", "curriculum")
"""The sections of a recipe that change what is in the corpus."""


def _field(parent: str, column: pa.Field, parquet: bool, above: tuple[str, ...]) -> dict[str, Any]:
    """A column of the shards, or a field of a nested one."""
    kind, path = column.type, (*above, column.name)
    described: dict[str, Any] = {"@type": "cr:Field", "@id": f"{parent}/{column.name}", "name": f"{parent}/{column.name}"}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        described |= {"isArray": True, "arrayShape": "-1"}
        kind = kind.value_type
    if pa.types.is_struct(kind):
        described["subField"] = [_field(f"{parent}/{column.name}", each, parquet, path) for each in kind]
    else:
        described["dataType"] = _data_type(kind)
    extract = {"column": path[0]} if parquet else {"jsonPath": f"$.{'.'.join(path)}"}
    described["source"] = {"fileSet": {"@id": "shards"}, "extract": extract}
    return described


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
