"""Removes files, folders, and the temporary files of killed writers."""

import os
import shutil

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.listing import TEMPORARY, objects
from tamis.transforms.storage.os_errors import as_os_error
from tamis.transforms.storage.uris import local_path


def remove(uri: str) -> None:
    """Removes a file. A missing one is fine."""
    path = local_path(uri)
    if path is not None:
        path.unlink(missing_ok=True)
    else:
        with as_os_error(uri):
            connect(uri).delete([uri])


def remove_tree(uri: str) -> None:
    """Removes a folder with all its files, or a file. A missing one is fine."""
    path = local_path(uri)
    if path is None:
        uris = [entry.uri for entry in objects(uri.rstrip("/") + "/")]
        with as_os_error(uri):
            connect(uri).delete([*uris, uri])
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: str) -> list[str]:
    """Removes the temporary files in `folder` and returns their names. Only if nobody writes."""
    path = local_path(folder)
    if path is None or not path.is_dir():
        return []  # a store shows no object before its put is complete
    temporary = sorted(name for name in os.listdir(path) if TEMPORARY.match(name))
    for name in temporary:
        (path / name).unlink(missing_ok=True)
    return temporary
