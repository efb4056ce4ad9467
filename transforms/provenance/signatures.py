"""The signatures of a release: `releases/000042.dsse.json`, beside its record.

A release is immutable, and a signature comes later, so it cannot be one of its files. Nor need it be: it
covers the manifest and the record, which cover the rest. A second key adds its signature to the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import RELEASES, Release, open_release
from tamis.transforms.provenance.envelope import Envelope, key_id, private_key, public_key
from tamis.transforms.provenance.statement import covering_files, statement, subjects
from tamis.transforms.provenance.verify import SIGNATURE, Problem, verify

SIGN = "sign it with `tamis sign`, if you made it; else do not use it"


def signature_path(release: Release) -> str:
    """The path of the signatures in the run directory."""
    return f"{RELEASES}/{release.number:06d}{SIGNATURE}"


def sign(name: str, key_uri: str) -> tuple[str, str]:
    """Signs the release `name`: `RUN` or `RUN@41`. Returns the path of the file and the identifier of the
    key. Signatures of other keys stay if they are about the same statement; after a purge they are not.
    Raises RunError if the release has problems, which nobody should sign for."""
    key = private_key(key_uri)
    release = _signable(name)
    if problems := verify(f"{release.run}@{release.number}"):
        raise RunError(f"release {release.number} is not sound, so it is not signed: {problems[0]}; see `tamis verify {name}`")
    uri = storage.join(release.run, signature_path(release))
    envelope = Envelope(statement(release), {})
    if storage.exists(uri):
        signed = _read(uri)
        envelope = signed if signed is not None and signed.payload == envelope.payload else envelope
    storage.write_bytes(uri, envelope.signed(key).content())
    return uri, key_id(key.public_key())


def signature_problems(name: str, key_uri: str) -> Iterator[Problem]:
    """Why the release `name`, `RUN` (its current one) or `RUN@41`, is not signed by the key in a PEM file,
    as it is now. The signature covers every byte if `verify` finds no problem. Raises RunError for other files."""
    key = public_key(key_uri)
    release = _signable(name)
    path = signature_path(release)
    uri = storage.join(release.run, path)
    if not storage.exists(uri):
        yield Problem(path, f"release {release.number} is not signed", SIGN)
        return
    envelope = _read(uri)
    if envelope is None:
        yield Problem(path, "its bytes have changed: it is no envelope of a signature", SIGN)
        return
    if not envelope.is_signed_by(key):
        yield Problem(path, f"it has no valid signature by the key {key_id(key)[:16]} of {key_uri}", SIGN)
        return
    try:
        signed = subjects(envelope.payload)
    except ValueError as error:
        yield Problem(path, str(error), SIGN)
        return
    for file, content in covering_files(release).items():
        if signed.get(file) != hashlib.sha256(content).hexdigest():
            yield Problem(file, "it is not the file that was signed", SIGN)


def _read(uri: str) -> Envelope | None:
    """The envelope in a file; None unless it is as `sign` writes it, to the byte."""
    content = storage.read_bytes(uri)
    try:
        envelope = Envelope.parse(content)
    except ValueError:
        return None
    return envelope if envelope.content() == content else None


def _signable(name: str) -> Release:
    """The release of this name. Raises RunError for one of an early version."""
    release = open_release(name)
    if release.is_early:
        raise RunError(f"an early version of Tamis made release {release.number}: run its recipe again, and sign that release")
    return release
