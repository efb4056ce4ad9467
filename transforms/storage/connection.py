"""Which store serves a URI, and one client of it for each process."""

from __future__ import annotations

import os

from tamis.transforms.storage.azure import Azure
from tamis.transforms.storage.gcs import Gcs
from tamis.transforms.storage.object_store import Store
from tamis.transforms.storage.s3 import S3
from tamis.transforms.storage.uris import scheme_of
from tamis.transforms.storage.web import Http

STORES: dict[str, type[Store]] = {"s3": S3, "gs": Gcs, "gcs": Gcs, "azure": Azure, "http": Http, "https": Http}
"""Which store serves a scheme."""

connected: dict[tuple[int, str], Store] = {}
"""The clients, by process: none may cross a fork."""


def connect(uri: str) -> Store:
    """The store of this URI, by this process's own client."""
    scheme = scheme_of(uri)
    if scheme not in STORES:
        raise ValueError(f"{uri}: no store for '{scheme}://'; known are {', '.join(sorted(STORES))} and local paths")
    place = (os.getpid(), scheme)
    if place not in connected:
        connected[place] = STORES[scheme]()
    return connected[place]
