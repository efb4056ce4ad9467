"""decon and corpus-assay beside the probe of Tamis: the same benchmark items in the same web pages."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest

from tamis.pipelines.contamination.probe_documents import Probe
from tamis.pipelines.contamination.probe_recipe import CLEAN, Probed, probe_recipe
from tests.bench.contamination import of_peers, recipe_of

MUTATIONS = ("verbatim", "question", "case", "wrapped", "numbers-changed", "substituted-10", "substituted-20")


def recalls(probed: Probed) -> dict[str, float]:
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for each in probed.documents:
        if each.mutation in MUTATIONS:
            found[each.mutation].append(each.found)
    return {mutation: sum(each) / len(each) for mutation, each in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", ["gsm8k", "arc_challenge"])
def test_tamis_finds_what_the_peers_find_and_more(shared: Path, benchmark: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not os.environ.get("TAMIS_PEERS"):
        pytest.skip("`make peers` installs the peers and runs these tests")
    recipe, probe = recipe_of("held-out", [benchmark], []), Probe(300, 25, 1, MUTATIONS)
    ours = probe_recipe(recipe, probe)
    theirs = dict(of_peers(recipe, probe))
    assert theirs.keys() == {"decon", "corpus-assay"}
    with capsys.disabled():
        for name, probed in {"Tamis": ours, **theirs}.items():
            shares = "  ".join(f"{mutation} {share:.2f}" for mutation, share in recalls(probed).items())
            print(f"\n{benchmark}, {name:<13} {shares}", end="")
    for probed in theirs.values():
        assert recalls(probed)["verbatim"] > 0.2, "the peer finds nothing: it was not run as it should be"
        assert all(recalls(ours)[mutation] >= share for mutation, share in recalls(probed).items())
    assert not any(each.found for probed in (ours, *theirs.values()) for each in probed.documents if each.mutation == CLEAN)
