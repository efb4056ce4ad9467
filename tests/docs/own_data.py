"""Makes the two data sets that the walks of the documentation begin with: some web pages, and code with its documentation.

The texts are prose and code of the running Python's standard library, with the junk that crawls have.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from sysconfig import get_path
from typing import Any

Record = dict[str, Any]

CODE = (
    "argparse.py",
    "asyncio/*.py",
    "collections/*.py",
    "concurrent/futures/*.py",
    "email/*.py",
    "html/*.py",
    "http/*.py",
    "json/*.py",
    "logging/*.py",
    "unittest/*.py",
    "urllib/*.py",
)
"""The source files of the mixture, within the standard library."""


def make_own_data(folder: Path) -> None:
    """Writes `pages/` and `mixture/`; the same bytes each time, for one version of Python."""
    pages = [*_articles(), *_junk()]
    for number, page in enumerate(pages):
        page["url"] = f"https://{page.pop('site')}.example/{number}"
        page["fetched"] = f"2026-03-{number % 28 + 1:02d}"
    pages[7]["text"] = None
    save(folder / "pages" / "crawl-0.jsonl.gz", pages[0::2])
    save(folder / "pages" / "crawl-1.jsonl.gz", pages[1::2])
    (folder / "pages" / "crawl-2.jsonl.gz.tmp").write_bytes(b"")
    save(folder / "mixture" / "code.jsonl.gz", list(_code()))
    save(folder / "mixture" / "docs.jsonl.gz", list(_documentation()))


def save(path: Path, records: Sequence[Record]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode(), mtime=0))


def _articles() -> Iterator[Record]:
    """Passages of the language reference of about 1,500 characters, some of them again with another
    footer."""
    for topic, text in sorted(topics.items()):
        passage = ""
        for number, paragraph in enumerate(re.split(r"\n{2,}", text)):
            passage += paragraph + "\n\n"
            if len(passage) > 1500:
                yield {"site": f"{topic}-{number % 3}".lower().replace("_", ""), "text": passage}
                if number % 8 == 0:
                    yield {"site": f"mirror-{topic}".lower().replace("_", ""), "text": f"{passage}Copied with permission."}
                passage = ""


def _junk() -> Iterator[Record]:
    """Pages that nobody wants: errors, menus, advertisements, prices."""
    for number in range(12):
        yield {
            "site": f"gone{number}",
            "text": f"Page {number} not found. Please go back to the start page or search this site.",
        }
        yield {
            "site": f"menu{number}",
            "text": "\n".join(f"Home\nProducts\nShop {n}\nContact\nLogin" for n in range(12 + number)),
        }
        yield {"site": f"shop{number}", "text": "Buy cheap watches now. Order the best watches today. " * (9 + number)}
        yield {"site": f"prices{number}", "text": "\n".join(f"{n} x {n * 7}.{n:02d} = {n * number} of {n}" for n in range(40))}


def _code() -> Iterator[Record]:
    root = Path(get_path("stdlib"))
    for path in sorted({path for pattern in CODE for path in root.glob(pattern)}):
        name = path.relative_to(root).as_posix()
        yield {"content": path.read_text("utf-8"), "path": name, "source": "code", "license": "PSF-2.0"}


def _documentation() -> Iterator[Record]:
    for topic, text in sorted(topics.items()):
        yield {"content": text, "path": f"reference/{topic}.txt", "source": "docs", "license": "PSF-2.0"}
