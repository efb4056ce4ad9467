"""Recipes execute nothing, links in documents are never followed, names never become paths, credentials are never stored."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.pipelines.run.launch import launch
from tests.pipelines.corpus import Record, corpus, save
from tests.pipelines.report.test_report import inert
from tests.pipelines.running import RECIPE, TAMIS, folder_of, typed

TRAVERSAL = "../../../../escaped"
BIDI = "\u202etxt.exe\u2066\u200f"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(1)></title></style>{{7*7}}{%x%}\x00"


# --- recipes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/name:os.system",
        "name: !<tag:yaml.org,2002:python/object/apply:os.system> [id]",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "a: " + "[" * 100_000,
        "{a: " * 100_000,
        "- " * 10_000,
        "seed: " + "9" * 5000,
        "seed: 0x" + "f" * 1000,
        "seed: -1",
        "seed: .inf",
        "seed: 1" + ":1" * 3000,
        "max_rejects: 1e999999",
        "max_rejects: .nan",
        "name: 2020-99-99",
        "? [a]\n: 1",
        "name: ../../x",
        "name: a/b",
        "name: '..'",
        'name: "\\0"',
        'name: ""',
        "dedup: {minhash: {bands: 99999999999}}",
        "x" * (1 << 20) + ": 1",
        "curriculum: {phases: [{name: ../../x, share: 1}]}",
    ],
)
def test_a_hostile_recipe_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(str(path))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.yaml"]


# --- documents ---------------------------------------------------------------------------------------------------------


class _Trap(BaseHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_response(200)
        self.end_headers()

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def trap() -> Iterator[tuple[str, list[str]]]:
    """A server: its address, and the paths that were requested."""
    _Trap.requests = []
    server = HTTPServer(("127.0.0.1", 0), _Trap)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", _Trap.requests
    server.shutdown()


def hostile(address: str) -> list[Record]:
    """Documents with an attack in every field, of a quality that is kept, and copies of them."""
    records = corpus(60)
    evil = [TRAVERSAL, "/etc/passwd", f"{address}/ssrf", SCRIPT, BIDI, "a\x00b", "%2e%2e%2f", "..\\..\\x", "s3://u:p@b/k"]
    for number, word in enumerate(evil):
        text = (
            f"{word} {records[number]['text']} <!DOCTYPE a SYSTEM '{address}/dtd'> <img src='{address}/image'> {address}/link"
        )
        fields = {"source": word, "url": word, "licence": word, "date": word, word: word, "trap": "evil"}
        records += [{"id": f"{word}{copy}", "text": text + " again" * copy, **fields} for copy in (0, 1)]
    return records


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, trap: tuple[str, list[str]]) -> Path:
    """The run directory of hostile documents; any connection during the run raises."""
    folder = tmp_path_factory.mktemp("attacked") / "deep" / "er"
    folder.mkdir(parents=True)
    source = save(folder / "in", [hostile(trap[0])])
    lines = f'{{"id": "{TRAVERSAL}", "text": 7, "url": "{trap[0]}/reject"}}\n<script>alert(1)</script>\n'
    (source / "piece-00.jsonl").open("a").write(lines)
    (source / "evil<img src=x onerror=alert(1)>\u202e.jsonl").write_text('{"text": "a few words in a file with a bad name"}\n')
    (folder / "evil.yaml").write_text(yaml.safe_dump(RECIPE | {"name": "a<b>c &amp; \u05d0", "max_rejects": 9}))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _refused)
        patch.setattr(socket, "getaddrinfo", _refused)
        recipe = load_recipe(str(folder / "evil.yaml"), [], [str(source)])
        launch(recipe, str(folder / "run"), workers=1)
    return folder / "run"


def _refused(*arguments: object) -> None:
    raise AssertionError(f"a connection was opened: {arguments}")


def test_no_address_in_a_document_is_followed(attacked: Path, trap: tuple[str, list[str]]) -> None:
    assert (attacked / "manifest.json").exists()
    assert trap[1] == []


def test_no_name_becomes_a_path(attacked: Path) -> None:
    root = attacked.parents[2]
    assert {path.relative_to(root).parts[:2] for path in root.rglob("*") if path.is_file()} == {("deep", "er")}
    assert {path.name for path in attacked.parent.iterdir()} == {"in", "evil.yaml", "run"}
    release = r"manifest\.json|report\.html|plan\.json|receipts/(part|shard)-\d+\.json|decisions/part-\d+\.parquet"
    release += r"|data/phase-1/shard-\d+\.parquet"
    part = r"[0-9a-f]{16}-\d+"
    plain = re.compile(
        rf"manifest\.json|metrics\.prom|\.state/plan\.json|\.state/checked\.parquet|releases/\d+\.json"
        rf"|releases/\d+/({release})|rated/{part}\.(parquet|json)|sketches/{part}\.arrow|rejects/{part}\.jsonl"
    )
    names = [str(path.relative_to(attacked)) for path in attacked.rglob("*") if path.is_file()]
    assert [name for name in names if not plain.fullmatch(name)] == []
    assert not Path("/escaped").exists()


def test_the_report_of_hostile_documents_is_inert(attacked: Path) -> None:
    html = (folder_of(attacked) / "report.html").read_text()
    page = inert(html)
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in html
    assert not [
        name for _, attributes in page.tags for name in attributes if name.startswith("on") or name in ("src", "href", "action")
    ]
    assert "\x00" not in html
    assert "{{7*7}}" in page.text
    assert "<script>alert(1)</script>" in page.text  # shown as what it is
    assert "a<b>c &amp; \u05d0" in page.text
    for match in re.finditer("[\u202a-\u202e\u2066-\u2069]", html):  # isolated from the text beside it
        before = html[: match.start()]
        assert before.rfind("<bdi") > before.rfind("</bdi>") or 'dir="auto"' in before[before.rfind("<t") :]


def test_a_hostile_id_is_explained_as_text(attacked: Path) -> None:
    result = CliRunner().invoke(app, ["explain", str(attacked), f"{TRAVERSAL}0", "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["id"] == f"{TRAVERSAL}0"
    assert CliRunner().invoke(app, ["explain", str(attacked), "../../in/piece-00.jsonl"]).exit_code == 1


def test_a_hostile_run_verifies(attacked: Path) -> None:
    typed([TAMIS, "verify", str(attacked)])


# --- credentials -------------------------------------------------------------------------------------------------------


class _Shelf(BaseHTTPRequestHandler):
    body: bytes

    def do_GET(self) -> None:
        if "X-Amz-Signature=" not in self.path:
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_a_presigned_address_is_read_and_its_signature_is_never_stored(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = corpus(20)
    _Shelf.body = "".join(json.dumps(record) + "\n" for record in records).encode() + b"{broken\n"
    server = HTTPServer(("127.0.0.1", 0), _Shelf)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secret = "5ecre7f00dcafe"
    address = f"http://127.0.0.1:{server.server_port}/a.jsonl?X-Amz-Credential={secret}1&X-Amz-Signature={secret}2"
    argv = [
        "run",
        "gopher",
        "-i",
        address,
        "-o",
        str(tmp_path / "run"),
        "--workers",
        "1",
        "--set",
        "max_rejects=1",
        "--log",
        "json",
    ]
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 0, result.stderr
    status = CliRunner().invoke(app, ["status", str(tmp_path / "run"), "--json"])
    missing = CliRunner().invoke(app, [*argv[:3], address.replace("X-Amz-Signature", "sig"), *argv[4:]])
    server.shutdown()
    assert missing.exit_code == 1
    assert "http://127.0.0.1" in missing.stderr
    for output in (result.stdout, result.stderr, status.stdout, missing.stdout, missing.stderr):
        assert secret not in output
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    (kept,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["inputs"]
    assert kept["uri"].endswith("/a.jsonl?X-Amz-Credential=***&X-Amz-Signature=***")
    (reject,) = (tmp_path / "run" / "rejects").iterdir()
    assert json.loads(reject.read_text())["uri"] == kept["uri"]
