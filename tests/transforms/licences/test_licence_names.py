"""Licences as people write them become SPDX expressions, and have the terms that the Data Provenance Initiative found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tamis.transforms.licences.known_terms import OWN_NAMES, terms_of
from tamis.transforms.licences.licence_names import licences_in, plain, read_licence, terms_of_expression
from tamis.transforms.licences.terms import UNKNOWN, USES, Terms, all_of, any_of

FREE, CREDITED, SHARED = (Terms("commercial", *each) for each in ((False, False), (True, False), (True, True)))


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY-NC-SA 3.0 DE", "CC-BY-NC-SA-3.0"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported License", "CC-BY-SA-3.0"),
        ("Attribution-NonCommercial 4.0 International", "CC-BY-NC-4.0"),
        ("Creative Commons Attribution Non-Commercial No-Derivatives 4.0", "CC-BY-NC-ND-4.0"),
        ("https://creativecommons.org/licenses/by-nc/2.0/legalcode", "CC-BY-NC-2.0"),
        ("Creative Commons - Attribution - https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("cc-by", "LicenseRef-CC-BY"),
        ("Public Domain", "LicenseRef-scancode-public-domain"),
        ("Apache License 2.0", "Apache-2.0"),
        ("Licensed under the Apache License, Version 2.0", "Apache-2.0"),
        ("http://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
        ("https://opensource.org/licenses/MIT", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("GPLv2+", "GPL-2.0-or-later"),
        ("GNU General Public License v3 or later", "GPL-3.0-or-later"),
        ("GNU Lesser General Public License, version 2.1", "LGPL-2.1-only"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("Open Data Commons Attribution License v1.0", "ODC-By-1.0"),
        ("odc-by", "ODC-By-1.0"),
        ("cc-by-sa-4.0 AND mit", "CC-BY-SA-4.0 AND MIT"),
        ("CC BY-SA 3.0 and the GNU Free Documentation License", "CC-BY-SA-3.0 AND LicenseRef-GFDL"),
        ("MIT/Apache-2.0", "MIT AND Apache-2.0"),
        ("(MIT OR Apache-2.0) AND CC-BY-4.0", "(MIT OR Apache-2.0) AND CC-BY-4.0"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ('["MIT", "MIT", "CC-BY-NC-4.0"]', "MIT AND CC-BY-NC-4.0"),
        ('["MIT OR ISC", "CC0"]', "(MIT OR ISC) AND CC0-1.0"),
        ('["MIT", 7]', "MIT AND LicenseRef-Unknown"),
        ("MIT and house rules", "MIT AND LicenseRef-Unknown"),
        ("(" * 200 + "MIT" + ")" * 200, "MIT"),
        *(
            (nothing, None)
            for nothing in ("", "  ", "unknown", "other", "No License", "All rights reserved", "MIT AND", "[]", "[", "(")
        ),
        ("MIT " * 200, None),
    ],
)
def test_what_people_write(written: str, expression: str | None) -> None:
    assert read_licence(written) == expression


STRICTER = {
    "CC BY-NC-ND": "what may not be changed cannot get other terms, as their own CC BY-ND 4.0 says",
    "CC BY-NC-ND 3.0": "as above",
    "CC BY-NC-ND 4.0": "as above",
    "CC BY-NC-SA": "share-alike, as their own CC BY-NC-SA 4.0 says",
    "MIT": "attribution, as their own MIT License says",
    "No License": "without a licence nobody has allowed anything",
    "Unspecified": "of what is not specified no term is known",
}
"""Classes whose published terms we hold to be too lax, and why."""


def test_the_terms_are_those_of_the_data_provenance_initiative(shared: Path) -> None:
    uses = {"All": "commercial", "NC": "non-commercial", "Acad": "academic", "Unspecified": "unknown"}
    asks = {"0": False, "1": True, "?": None}
    classes = json.loads((shared / "licences/license_classes.json").read_text())
    assert len(classes) == 66
    for name, (use, attribution, share_alike) in classes.items():
        expression = read_licence(name)
        ours = terms_of_expression(expression) if expression else UNKNOWN
        theirs = Terms(uses[use], asks[attribution], asks[share_alike])  # type: ignore[arg-type]
        assert (ours == theirs) == (name not in STRICTER), (name, expression, ours)
        assert all(ours >= other for ours, other in zip(ours.restriction, theirs.restriction, strict=True)), name


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("MIT", CREDITED),
        ("CC0-1.0", FREE),
        ("GPL-3.0-only", SHARED),
        ("LGPL-3.0-only", CREDITED),
        ("ODbL-1.0", SHARED),
        ("GFDL-1.3-or-later", SHARED),
        ("CC-BY-ND-4.0", SHARED),
        ("CC-BY-NC-SA-4.0", Terms("non-commercial", True, True)),
        ("LicenseRef-CC-BY-NC", Terms("non-commercial", True, False)),
        ("LicenseRef-Microsoft-Data", Terms("academic", True, True)),
        ("LicenseRef-scancode-proprietary-license", UNKNOWN),
        ("LicenseRef-Unknown", UNKNOWN),
    ],
)
def test_terms(licence: str, terms: Terms) -> None:
    assert terms_of(licence) == terms


def test_all_take_the_most_restrictive_and_a_choice_the_least() -> None:
    assert terms_of_expression("MIT AND CC-BY-NC-4.0 AND GPL-3.0-only") == Terms("non-commercial", True, True)
    assert terms_of_expression("CC-BY-NC-4.0 OR CC-BY-SA-4.0 OR CC-BY-4.0") == CREDITED
    assert terms_of_expression("(CC-BY-NC-4.0 OR CC0-1.0) AND LicenseRef-Unknown") == UNKNOWN
    assert terms_of_expression("GPL-2.0-only WITH Classpath-exception-2.0") == SHARED


known = st.sampled_from(
    ["MIT", "CC-BY-4.0", "CC-BY-NC-SA-3.0", "GPL-2.0-or-later", "CC0-1.0", "LicenseRef-Unclear", "C-UDA-1.0"]
)
expressions = st.recursive(
    known,
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda each: f"({' '.join(each)})"),
    max_leaves=6,
)


@given(expressions)
def test_an_expression_is_read_as_itself(expression: str) -> None:
    read = read_licence(expression)
    assert read is not None
    assert read_licence(read) == read
    assert set(licences_in(read)) == set(expression.replace("(", "").replace(")", "").split()) - {"AND", "OR"}


terms = st.builds(Terms, st.sampled_from(USES), st.sampled_from([False, None, True]), st.sampled_from([False, None, True]))


@given(st.lists(terms, min_size=1, max_size=4))
def test_more_licences_never_allow_more_and_a_choice_is_one_of_its_licences(several: list[Terms]) -> None:
    together, choice = all_of(several), any_of(several)
    for each in several:
        assert all(ours >= other for ours, other in zip(together.restriction, each.restriction, strict=True))
        assert choice.restriction <= each.restriction
    assert choice in several
    assert all_of([together, *several]) == together


@given(st.text(max_size=40) | st.from_regex(r"[\[(]?(MIT|CC BY|,|and|or|with|\(|\)| ){0,8}", fullmatch=True))
@example("()MIT,1")
@example("(,MIT,1")
def test_any_text_is_read_or_not_known(text: str) -> None:
    expression = read_licence(text)
    assert expression is None or read_licence(expression) == expression


@pytest.mark.parametrize("name", sorted(OWN_NAMES))
def test_own_names_are_in_their_plain_form(name: str) -> None:
    assert plain(name) == name
