"""Masks credentials in URLs and other text before it is stored or printed."""

import os
import re

MASK = "***"

_RULES = (
    # s3://key:secret@bucket. The secret may contain slashes; the key may not, so an object's path
    # with ':' and '@' stays.
    re.compile(r"(?i)(\b(?!https?:)[a-z][a-z0-9+.-]*://)[^\s:/@]+:[^\s@]+(?=@)"),
    re.compile(r"(?i)(\bhttps?://)[^\s/?#@]+(?=@)"),
    # Presigned URLs of AWS, Google, Azure and CloudFront, and tokens by their usual names.
    re.compile(
        r"(?i)([?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|awsaccesskeyid|googleaccessid|policy"
        r"|key-pair-id|[a-z0-9_.-]*(?:token|secret|passw(?:or)?d|credentials?|(?:api|access|account)[_-]?key))=)[^&;\s\"'<>#]+"
    ),
    re.compile(r"(?i)(\b(?:accountkey|sharedaccesssignature|aws_secret_access_key|aws_session_token)\s*[=:]\s*)[^\s;]+"),
    re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?)[^\s\"',]+"),
)

_SECRET = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "OPENAI_API_KEY",
)
"""The environment variables whose values are masked everywhere."""


def redact(text: str) -> str:
    """`text` with all credentials masked that the form of a URL or the environment reveals, and with
    the bytes of a file name escaped that are not UTF-8.

    Do not use the result to identify files: two URLs may become equal.
    """
    for name in _SECRET:
        value = os.environ.get(name, "")
        if len(value) >= 8:
            text = text.replace(value, MASK)
    for rule in _RULES:
        text = rule.sub(rf"\1{MASK}", text)
    return text if text.isascii() else _escape(text)


def _escape(text: str) -> str:
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()
