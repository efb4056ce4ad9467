"""What of a text may be kept or shown: addresses without the credentials that people put into them."""

from __future__ import annotations

import os
import re

MASK = "***"

_RULES = (
    # s3://key:secret@bucket; a secret may hold slashes. The first part may not, so that a key with ':' and '@' is none.
    re.compile(r"(?i)(\b(?!https?:)[a-z][a-z0-9+.-]*://)[^\s:/@]+:[^\s@]+(?=@)"),
    re.compile(r"(?i)(\bhttps?://)[^\s/?#@]+(?=@)"),
    # Presigned addresses: AWS, Google, Azure, CloudFront, and tokens by their usual names.
    re.compile(
        r"(?i)([?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|awsaccesskeyid|googleaccessid|policy"
        r"|key-pair-id|[a-z0-9_.-]*(?:token|secret|passw(?:or)?d|credentials?|(?:api|access|account)[_-]?key))=)[^&;\s\"'<>#]+"
    ),
    re.compile(r"(?i)(\b(?:accountkey|sharedaccesssignature|aws_secret_access_key|aws_session_token)\s*[=:]\s*)[^\s;]+"),
    re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?)[^\s\"',]+"),
)

_SECRET = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY")
"""Variables of the environment whose values are never shown, wherever they turn up."""


def redact(text: str) -> str:
    """`text` with every credential that it can be told by its place in an address, or by the environment, masked.

    What holds no credential is returned as it is. Never to be used to tell files apart: two addresses may become one.
    """
    for name in _SECRET:
        value = os.environ.get(name, "")
        if len(value) >= 8:
            text = text.replace(value, MASK)
    for rule in _RULES:
        text = rule.sub(rf"\1{MASK}", text)
    return text
