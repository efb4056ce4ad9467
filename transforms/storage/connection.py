"""Chooses the store for a URI and keeps one client of it per process."""

import os

from tamis.transforms.storage.azure import Azure
from tamis.transforms.storage.gcs import Gcs
from tamis.transforms.storage.object_store import Store
from tamis.transforms.storage.read_only.hub import Hub
from tamis.transforms.storage.read_only.web import Ftp, Hdfs, Http, Sftp, WebHdfs
from tamis.transforms.storage.s3 import S3
from tamis.transforms.storage.uris import scheme_of

STORES: dict[str, type[Store]] = {"s3": S3, "gs": Gcs, "gcs": Gcs, "azure": Azure, "webhdfs": WebHdfs, "hf": Hub}
STORES |= dict.fromkeys(("http", "https"), Http) | dict.fromkeys(("ftp", "ftps"), Ftp)
STORES |= dict.fromkeys(("sftp", "scp", "ssh"), Sftp) | dict.fromkeys(("hdfs", "viewfs"), Hdfs)
"""The store of each URI scheme."""

connected: dict[tuple[int, str], Store] = {}
"""The clients, by process and scheme: a client must not be used after a fork."""


def connect(uri: str) -> Store:
    """The store of this URI, with this process's own client."""
    scheme = scheme_of(uri)
    if scheme not in STORES:
        raise ValueError(f"{uri}: no store for '{scheme}://'; use one of {', '.join(sorted(STORES))}, or a local path")
    key = (os.getpid(), scheme)
    if key not in connected:
        connected[key] = STORES[scheme]()
    return connected[key]
