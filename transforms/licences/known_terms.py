"""The terms of every licence that has a name: SPDX's, Creative Commons', and the classes of the Data Provenance Initiative."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from tamis.transforms.licences.terms import UNKNOWN, Terms

_FREE = Terms("commercial", False, False)
_CREDITED = Terms("commercial", True, False)
_SHARED = Terms("commercial", True, True)
_OF_CATEGORY = {"Public Domain": _FREE, "Permissive": _CREDITED, "Copyleft Limited": _CREDITED, "Copyleft": _SHARED}
"""The terms of the categories of ScanCode, whose index license-expression brings. A limited copyleft is about the
files of a program. Categories that are not here need a look at the licence, so their terms are not known."""

_OWN: Final[Mapping[str, Terms]] = {
    "C-UDA-1.0": _SHARED,
    "CDLA-Sharing-1.0": _SHARED,
    "LicenseRef-AI2-ImpACT-LR": _SHARED,
    "LicenseRef-Academic-Research": Terms("academic", True, True),
    "LicenseRef-All-Uses-Attribution": _CREDITED,
    "LicenseRef-Anthropic-Terms": Terms("non-commercial", None, None),
    "LicenseRef-BigScience-OpenRAIL-M": _SHARED,
    "LicenseRef-CSLU-Agreement": Terms("non-commercial", True, False),
    "LicenseRef-GPL": _SHARED,
    "LicenseRef-Google-Cloud-Translation-API": Terms("non-commercial", None, None),
    "LicenseRef-LDC-User-Agreement": Terms("non-commercial", True, False),
    "LicenseRef-LGPL": _CREDITED,
    "LicenseRef-LMSYS-Chat-1M": _FREE,
    "LicenseRef-Llama-2": _CREDITED,
    "LicenseRef-Llama-3": _CREDITED,
    "LicenseRef-Microsoft-Data": Terms("academic", True, True),
    "LicenseRef-Non-Commercial": Terms("non-commercial", False, False),
    "LicenseRef-OANC": _CREDITED,
    "LicenseRef-Open-Access": _SHARED,
    "LicenseRef-OpenAI-Terms": Terms("non-commercial", None, None),
    "LicenseRef-Request-Form": Terms("academic", None, None),
    "LicenseRef-Skywork-Community": _CREDITED,
    "LicenseRef-Unclear": Terms("non-commercial", None, None),
    "LicenseRef-Various": Terms("academic", None, None),
}
"""Licences without a category of their own, or with one that says too little, by the classes of the Data Provenance
Initiative (Longpre et al. 2023, arXiv 2310.16787)."""

_CREATIVE_COMMONS = re.compile(r"(?:LicenseRef-)?CC-BY(?P<elements>(?:-(?:NC|ND|SA))*)(?:-\d.*)?")
_DOCUMENTATION = re.compile(r"(?:LicenseRef-)?GFDL(?:-.*)?")


@cache
def terms_of(licence: str) -> Terms:
    """The terms of a licence by its identifier: of SPDX, `LicenseRef-scancode-…`, or one of `OWN_NAMES`."""
    if licence in _OWN:
        return _OWN[licence]
    if match := _CREATIVE_COMMONS.fullmatch(licence):
        elements = match["elements"].split("-")
        # What may not be changed cannot get other terms.
        return Terms("non-commercial" if "NC" in elements else "commercial", True, bool({"SA", "ND"} & {*elements}))
    if _DOCUMENTATION.fullmatch(licence):
        return _SHARED
    return _OF_CATEGORY.get(_categories().get(licence, ""), UNKNOWN)


@cache
def _categories() -> dict[str, str]:
    from license_expression import get_license_index

    return {entry["spdx_license_key"]: entry["category"] for entry in get_license_index() if entry["spdx_license_key"]}


OWN_NAMES: Final[Mapping[str, str]] = {
    "academic research purposes": "LicenseRef-Academic-Research",
    "academic": "LicenseRef-Academic-Research",
    "ai2 impact low risk": "LicenseRef-AI2-ImpACT-LR",
    "all uses by": "LicenseRef-All-Uses-Attribution",
    "anthropic": "LicenseRef-Anthropic-Terms",
    "apache": "Apache-2.0",
    "bigscience openrail m": "LicenseRef-BigScience-OpenRAIL-M",
    "bsd": "BSD-3-Clause",
    "c uda": "C-UDA-1.0",
    "computational use of data c uda": "C-UDA-1.0",
    "cc0": "CC0-1.0",
    "cc zero": "CC0-1.0",
    "cc zero 1.0": "CC0-1.0",
    "cslu": "LicenseRef-CSLU-Agreement",
    "gfdl": "LicenseRef-GFDL",
    "google cloud translation api": "LicenseRef-Google-Cloud-Translation-API",
    "gpl": "LicenseRef-GPL",
    "ldc user": "LicenseRef-LDC-User-Agreement",
    "lgpl": "LicenseRef-LGPL",
    "llama 2.0": "LicenseRef-Llama-2",
    "llama2": "LicenseRef-Llama-2",
    "llama3": "LicenseRef-Llama-3",
    "llama 3.0": "LicenseRef-Llama-3",
    "meta llama3 community": "LicenseRef-Llama-3",
    "lmsys chat 1m dataset": "LicenseRef-LMSYS-Chat-1M",
    "microsoft data licensing": "LicenseRef-Microsoft-Data",
    "microsoft research data": "LicenseRef-Microsoft-Data",
    "nc": "LicenseRef-Non-Commercial",
    "oanc": "LicenseRef-OANC",
    "odbl": "ODbL-1.0",
    "odc by": "ODC-By-1.0",
    "ogl": "OGL-UK-3.0",
    "ogl 3.0": "OGL-UK-3.0",
    "open access": "LicenseRef-Open-Access",
    "openai": "LicenseRef-OpenAI-Terms",
    "publicdomain mark": "LicenseRef-scancode-public-domain",
    "publicdomain mark 1.0": "LicenseRef-scancode-public-domain",
    "python foundation": "PSF-2.0",
    "request form": "LicenseRef-Request-Form",
    "research": "LicenseRef-Academic-Research",
    "skywork community": "LicenseRef-Skywork-Community",
    "unclear": "LicenseRef-Unclear",
    "various": "LicenseRef-Various",
}
"""Identifiers of names that SPDX does not know, in the form that `licence_names.plain` gives them."""
