"""Signs bytes with ed25519 keys, in envelopes of the DSSE: what sigstore, in-toto and SLSA tools read."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Envelope:
    """A payload with its signatures by the identifier of the key: both are bytes."""

    payload: bytes
    signatures: dict[str, bytes]

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The envelope in a file. Raises ValueError if it is none of in-toto statements."""
        try:
            loaded = json.loads(content)
            if loaded["payloadType"] != PAYLOAD_TYPE:
                raise ValueError(f"its payload is {loaded['payloadType']}, not {PAYLOAD_TYPE}")
            decoded = {each["keyid"]: base64.b64decode(each["sig"], validate=True) for each in loaded["signatures"]}
            return cls(base64.b64decode(loaded["payload"], validate=True), decoded)
        except (KeyError, TypeError, AttributeError, binascii.Error, json.JSONDecodeError, UnicodeDecodeError):
            raise ValueError("it is no DSSE envelope") from None

    def content(self) -> bytes:
        """The bytes of the file."""
        signatures = [{"keyid": key, "sig": _base64(sig)} for key, sig in sorted(self.signatures.items())]
        envelope = {"payloadType": PAYLOAD_TYPE, "payload": _base64(self.payload), "signatures": signatures}
        return (json.dumps(envelope, indent=1) + "\n").encode()

    def signed(self, key: Ed25519PrivateKey) -> Self:
        """The envelope with a signature by this key, too. ed25519 draws nothing: the same bytes each time."""
        signature = key.sign(_signed_bytes(self.payload))
        return replace(self, signatures=self.signatures | {key_id(key.public_key()): signature})

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether the payload has a valid signature by this key."""
        signature = self.signatures.get(key_id(key))
        if signature is None:
            return False
        try:
            key.verify(signature, _signed_bytes(self.payload))
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """The SHA-256 of a public key in DER."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def private_key(uri: str) -> Ed25519PrivateKey:
    """The key in a PEM file. Raises RunError if there is none, or it is no private ed25519 key, or has a password."""
    try:
        key = serialization.load_pem_private_key(storage.read_bytes(uri), password=None)
    except FileNotFoundError:
        raise RunError(f"{uri}: no such key: `openssl genpkey -algorithm ed25519 -out {uri}` makes one") from None
    except TypeError:
        raise RunError(f"{uri} has a password: `openssl pkey -in {uri} -out PLAIN.pem` writes the key without it") from None
    except (ValueError, UnsupportedAlgorithm):
        raise RunError(f"{uri} is no private key in PEM: `openssl genpkey -algorithm ed25519` makes one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RunError(f"{uri} is a key of another kind: `openssl genpkey -algorithm ed25519` makes one that signs releases")
    return key


def public_key(uri: str) -> Ed25519PublicKey:
    """The key in a PEM file. Raises RunError if it is no public ed25519 key."""
    try:
        key = serialization.load_pem_public_key(storage.read_bytes(uri))
    except FileNotFoundError:
        raise RunError(f"{uri}: no such key: `openssl pkey -in KEY -pubout -out {uri}` makes one of a private key") from None
    except (ValueError, UnsupportedAlgorithm):
        raise RunError(f"{uri} is no public key in PEM: `openssl pkey -in KEY -pubout` makes one of a private key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise RunError(f"{uri} is a key of another kind: releases are signed by ed25519 keys")
    return key


def _signed_bytes(payload: bytes) -> bytes:
    """What is signed: the type and the payload, each behind its length (DSSE 1.0, PAE)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
