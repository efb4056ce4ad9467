"""The running Python as a corpus: the same every time, with unique ids, and without paths of this machine."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from itertools import pairwise

import pytest
from test_inputs import documents_of

from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan
from tamis.transforms.read.python_env import docstrings, fair_share, find_distribution, installed

SOME = ["python-env:stdlib", "python-env:pyyaml", "python-env:pydantic"]


@pytest.fixture(scope="module")
def rows():
    rows, rejects = documents_of(SOME, harvest_bytes=4_000_000)
    assert not rejects
    return rows


def test_ids_are_unique_and_every_kind_is_there(rows):
    assert max(Counter(row["id"] for row in rows).values()) == 1
    sources = Counter(row["source"] for row in rows)
    assert {"code", "docstring", "metadata", "license"} <= sources.keys()
    assert sources["docstring"] > 100


def test_no_path_of_this_machine(rows):
    for row in rows:
        assert row["url"].startswith(("site-packages/", "stdlib/"))
        assert sys.prefix not in row["id"] + row["url"]


def test_licence_and_version_are_known(rows):
    licences = {json.loads(row["metadata"])["distribution"]: row["licence"] for row in rows}
    assert licences == {"stdlib": "PSF-2.0", "pyyaml": "MIT", "pydantic": "MIT"}


def test_the_harvest_is_bounded_and_fair(rows):
    size = sum(len(row["text"].encode()) for row in rows if row["source"] != "docstring")
    assert 3_000_000 < size <= 4_000_000
    assert fair_share([5, 100, 50], 65) == 30
    assert fair_share([5, 10], 65) == 10
    assert fair_share([], 1) == 0


def test_ranges_cover_every_file_once():
    splits = plan(Input(paths=("python-env:stdlib",), harvest_bytes=1 << 30))[0]
    assert splits[0].start == 0
    assert all(a.stop == b.start for a, b in pairwise(splits))
    assert splits[-1].stop == len(find_distribution("stdlib").files)
    assert len({split.stamp for split in splits}) == 1


@pytest.mark.slow
def test_a_harvest_repeats():
    assert documents_of(SOME[1:2]) == documents_of(SOME[1:2])
    assert plan(Input(paths=("python-env",))) == plan(Input(paths=("python-env",)))


def test_unknown_distribution_is_named():
    with pytest.raises(FileNotFoundError, match="python-env:nothing"):
        plan(Input(paths=("python-env:nothing",)))
    with pytest.raises(ValueError, match="reads 'python-env'"):
        plan(Input(paths=("a.jsonl",), format="python-env"))


def test_docstrings_are_those_of_ast():
    long = "x" * 300
    method = f'    def f(self, x):\n        """{long}"""\n'
    code = f'"""{long}"""\nclass A:\n    """{long}"""\n    def f(self):\n        """short"""\n{method}'
    code += f"if True:\n{method}{method}"
    names = [name for name, _ in docstrings(code)]
    assert names == ["__doc__", "A", "A.f", "f", "f@2"]
    assert len(names) == sum(
        len(ast.get_docstring(node) or "") >= 200
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )
    assert list(docstrings('"""' + long)) == []


def test_undecodable_files_are_rejects(tmp_path, monkeypatch):
    for name, data in (
        ("a.py", b"x = '\xff'\n"),
        ("b.py", b"# coding: nonsense\n"),
        ("c.py", b'"""%s\\ud800"""' % (b"x" * 300)),
    ):
        (tmp_path / name).write_bytes(data)
    folder = tmp_path / "fake-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1\n")
    (folder / "RECORD").write_text("a.py,,\nb.py,,\nc.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed.cache_clear()
    try:
        rows, rejects = documents_of(["python-env:fake"])
    finally:
        installed.cache_clear()
    assert [row["id"] for row in rows] == ["python-env:fake:c.py"]
    assert [reject.offset for reject in rejects] == [0, 1, 2]
