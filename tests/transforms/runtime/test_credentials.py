"""Credentials are masked, and other text is unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.runtime.credentials import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://AKIA:hunter2@bucket/key", "s3://***@bucket/key"),
        ("s3://AKIA:wJal/rXUt+nFE/MI@bucket/key", "s3://***@bucket/key"),
        ("http://ann:hunter2@host:80/a.jsonl", "http://***@host:80/a.jsonl"),
        ("https://token@host/a", "https://***@host/a"),
        (
            "https://b.s3.amazonaws.com/k.jsonl?X-Amz-Algorithm=AWS4&X-Amz-Credential=AKIA%2F2026&X-Amz-Signature=ab12#x",
            "https://b.s3.amazonaws.com/k.jsonl?X-Amz-Algorithm=AWS4&X-Amz-Credential=***&X-Amz-Signature=***#x",
        ),
        (
            "https://a.blob.core.windows.net/c/b?sv=2024&sig=abc%3D&se=2026",
            "https://a.blob.core.windows.net/c/b?sv=2024&sig=***&se=2026",
        ),
        ("403 Forbidden for url: https://h/f?access_token=abc", "403 Forbidden for url: https://h/f?access_token=***"),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc==;E=x",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***;E=x",
        ),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
    ],
)
def test_a_credential_is_masked(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a:b@c/d.jsonl",
        "http://host:80/path@foo/x?key=part-1.jsonl&design=2",
        "/srv/crawl/a b/c@d:e.jsonl",
        "gs://bucket/*.parquet",
        "python-env:attrs",
        "ann@example.org wrote: token = 3",
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert redact(text) == text


def test_a_secret_of_the_environment_is_masked_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    assert redact("no such host: wJalrXUtnFEMI.example") == "no such host: ***.example"


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)
