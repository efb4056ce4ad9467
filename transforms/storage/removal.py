"""Removes files, folders, and what killed writers left."""

from __future__ import annotations

import os
import shutil

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.listing import TEMPORARY, objects
from tamis.transforms.storage.os_errors import plainly
from tamis.transforms.storage.uris import local_path


def remove(uri: str) -> None:
    """Removes a file; a missing one is fine."""
    path = local_path(uri)
    if path is not None:
        path.unlink(missing_ok=True)
    else:
        with plainly(uri):
            connect(uri).delete([uri])


def remove_tree(uri: str) -> None:
    """Removes a folder and all below it, or a file; a missing one is fine."""
    path = local_path(uri)
    if path is None:
        below = [found.uri for found in objects(uri.rstrip("/") + "/")]
        with plainly(uri):
            connect(uri).delete([*below, uri])
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: str) -> list[str]:
    """Removes what killed writers left in `folder` itself and returns the names; only when nobody is writing there."""
    path = local_path(folder)
    if path is None or not path.is_dir():
        return []  # a store shows no object before its put is complete
    left = sorted(name for name in os.listdir(path) if TEMPORARY.match(name))
    for name in left:
        (path / name).unlink(missing_ok=True)
    return left
