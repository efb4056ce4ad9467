"""Lists, reads and writes files on local disks and object stores; only complete files appear.

A URI is a local path (plain `os`), `s3://`, `gs://` or `azure://` (the store's own client, which
repeats cut reads and has conditional puts), or, read only, `http(s)://`, `ftp(s)://`, `sftp://` or
`(web)hdfs://` (through smart-open), or `hf://datasets/` (through huggingface_hub).
"""

from tamis.transforms.storage.listing import COMPRESSION_SUFFIXES, By, Listing, expand, files, list_files, names
from tamis.transforms.storage.object_store import TIMEOUT, Entry
from tamis.transforms.storage.reading import entry, exists, open_binary, open_decompressed, read_bytes, read_json, sha256
from tamis.transforms.storage.removal import remove, remove_tree, sweep
from tamis.transforms.storage.uris import join, local_path, suffixes
from tamis.transforms.storage.writing import Sink, commit, duplicate, swap, write_bytes

__all__ = [
    "COMPRESSION_SUFFIXES",
    "TIMEOUT",
    "By",
    "Entry",
    "Listing",
    "Sink",
    "commit",
    "duplicate",
    "entry",
    "exists",
    "expand",
    "files",
    "join",
    "list_files",
    "local_path",
    "names",
    "open_binary",
    "open_decompressed",
    "read_bytes",
    "read_json",
    "remove",
    "remove_tree",
    "sha256",
    "suffixes",
    "swap",
    "sweep",
    "write_bytes",
]
