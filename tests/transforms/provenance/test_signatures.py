"""A signature holds for one key and for these bytes: another key fails, and so does one changed byte of anything."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import File
from tamis.transforms.core.release import from_manifest
from tamis.transforms.provenance import release_chain, verify
from tamis.transforms.provenance.signatures import sign, signature_problems
from tests.transforms.provenance.test_verify import BODY, CONTENTS

SIGNATURE = "releases/000001.dsse.json"


def write_key(folder: Path, name: str, seed: int) -> str:
    """A pair of keys, NAME.pem and NAME.pub; returns the path of both without the ending."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.pem").write_bytes(private)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return str(folder / name)


@pytest.fixture
def ours(tmp_path: Path) -> str:
    return write_key(tmp_path, "ours", 1)


@pytest.fixture
def theirs(tmp_path: Path) -> str:
    return write_key(tmp_path, "theirs", 2)


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A release, as a run leaves it."""
    run = str(tmp_path / "run")
    for path, content in CONTENTS.items():
        storage.write_bytes(storage.join(run, path), content)
    manifest = verify.seal({**BODY, "tamis": "1.0"}, [File.read(run, path) for path in CONTENTS])
    content = json.dumps(manifest).encode()
    for path in ("manifest.json", "releases/000001/manifest.json"):
        storage.write_bytes(storage.join(run, path), content)
    release_chain.record(from_manifest(run, 1, content, "manifest.json"), content)
    return run


def problems(run: str, key: str) -> list[str]:
    """The paths of all that is wrong with a run, and with the signature of its current release."""
    return [problem.path for problem in (*verify.verify(run), *signature_problems(run, f"{key}.pub"))]


def test_a_signed_release_verifies_with_its_key_alone(run: str, ours: str, theirs: str) -> None:
    assert problems(run, ours) == [SIGNATURE]
    sign(run, f"{ours}.pem")
    assert problems(run, ours) == []
    assert problems(run, theirs) == [SIGNATURE]
    sign(f"{run}@1", f"{theirs}.pem")
    assert problems(run, ours) == problems(run, theirs) == []


def test_a_signature_is_the_same_bytes_each_time(run: str, ours: str) -> None:
    uri, _ = sign(run, f"{ours}.pem")
    first = storage.read_bytes(uri)
    sign(run, f"{ours}.pem")
    assert storage.read_bytes(uri) == first


@pytest.mark.parametrize(
    "path", [*CONTENTS, "manifest.json", "releases/000001/manifest.json", "releases/000001.json", "releases/000001.dsse.json"]
)
def test_one_changed_byte_of_any_file_fails(run: str, ours: str, path: str) -> None:
    sign(run, f"{ours}.pem")
    uri = storage.join(run, path)
    sound = storage.read_bytes(uri)
    for place in range(0, len(sound), 1 + len(sound) // 25):
        changed = bytearray(sound)
        changed[place] ^= 1
        storage.write_bytes(uri, bytes(changed))
        try:
            found = problems(run, ours)
        except (RunError, FileNotFoundError):
            continue
        assert found, (path, place)


def test_a_signed_release_that_was_made_anew_is_not_the_signed_one(run: str, ours: str) -> None:
    sign(run, f"{ours}.pem")
    manifest = json.loads(storage.read_bytes(storage.join(run, "manifest.json")))
    content = json.dumps({**manifest, "fingerprint": "g"}).encode()
    for path in ("manifest.json", "releases/000001/manifest.json"):
        storage.write_bytes(storage.join(run, path), content)
    release_chain.record(from_manifest(run, 1, content, "manifest.json"), content)
    assert verify.verify(run) == []
    assert problems(run, ours) == ["releases/000001/manifest.json", "releases/000001.json"]
    sign(run, f"{ours}.pem")
    assert problems(run, ours) == []


def test_what_is_not_sound_is_not_signed(run: str, ours: str) -> None:
    storage.write_bytes(storage.join(run, "releases/000001/decisions/part-00000.parquet"), b"lie")
    with pytest.raises(RunError, match="is not sound, so it is not signed"):
        sign(run, f"{ours}.pem")


def test_the_envelope_is_that_of_the_specification(run: str, ours: str) -> None:
    uri, identifier = sign(run, f"{ours}.pem")
    envelope = json.loads(storage.read_bytes(uri))
    payload = base64.b64decode(envelope["payload"])
    (signature,) = envelope["signatures"]
    assert (envelope["payloadType"], signature["keyid"]) == ("application/vnd.in-toto+json", identifier)
    signed = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    key = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
    key.public_key().verify(base64.b64decode(signature["sig"]), signed)
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [subject["name"] for subject in statement["subject"]] == [
        "releases/000001/manifest.json",
        "releases/000001.json",
        "releases/000001/data/p/shard-00000.parquet",
    ]
    assert statement["predicate"]["buildDefinition"]["resolvedDependencies"] == [{"uri": "a", "annotations": {"version": "1"}}]


def test_keys_of_other_kinds_are_refused(run: str, ours: str, tmp_path: Path) -> None:
    other = X25519PrivateKey.from_private_bytes(bytes(32))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "other.pem").write_bytes(other.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    locked = Ed25519PrivateKey.from_private_bytes(bytes(32))
    protected = locked.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"password"))
    (tmp_path / "locked.pem").write_bytes(protected)
    for key, message in {"other.pem": "another kind", "locked.pem": "has a password", "ours.pub": "no private key"}.items():
        with pytest.raises(RunError, match=message):
            sign(run, str(tmp_path / key))
    with pytest.raises(RunError, match="no public key"):
        list(signature_problems(run, f"{ours}.pem"))
