"""Files of datasets on the Hugging Face Hub, read only: huggingface_hub lists them and keeps them in its cache."""

import errno
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote

from tamis.transforms.core.errors import missing_package
from tamis.transforms.storage.object_store import Entry
from tamis.transforms.storage.retry import is_transient_status, retry

_URI = re.compile(r"hf://datasets/([^/@*?\[]+/[^/@*?\[]+)(?:@(refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(.*))?", re.DOTALL)

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


class Address(NamedTuple):
    """A place in a dataset: OWNER/NAME, the revision (None: the newest), and the path in it. `root` is
    the URI without the path."""

    dataset: str
    revision: str | None
    path: str
    root: str


def parse(uri: str) -> Address:
    """The parts of a URI. Raises ValueError unless it names a dataset."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"{uri}: should be hf://datasets/OWNER/NAME/PATH, or hf://datasets/OWNER/NAME@REVISION/PATH")
    dataset, revision, path = match.groups()
    root = uri[: match.start(3) - 1] if path else uri.rstrip("/")
    return Address(dataset, unquote(revision) if revision else None, path or "", root)


class Hub:
    """`hf://datasets/…`, with the cache, the tokens and the settings of huggingface_hub.

    A file is downloaded whole, once per cache (HF_HOME), when it is first opened. Its version is the
    hash of its content.
    """

    def __init__(self) -> None:
        try:
            hub = import_module("huggingface_hub")
        except ImportError as error:
            raise ImportError(missing_package("hf:// addresses", "huggingface_hub")) from error
        self._errors = import_module("huggingface_hub.errors")
        import_module("huggingface_hub.utils").disable_progress_bars()
        self._api = hub.HfApi(library_name="tamis")

    def entry(self, uri: str) -> Entry | None:
        at = parse(uri)
        with self._explained(uri, at):
            found = self._send(
                partial(self._api.get_paths_info, at.dataset, [at.path], revision=at.revision, repo_type="dataset")
            )
        return next((_entry(at, item) for item in found if _is_file(item)), None)

    def entries(self, prefix: str) -> Iterator[Entry]:
        at = parse(prefix)
        folder = at.path.rpartition("/")[0]
        listed = [item for item in self._listed(prefix, at, folder, True) if _is_file(item)]
        yield from (entry for entry in (_entry(at, item) for item in listed) if entry.uri.startswith(prefix))

    def children(self, folder: str) -> Iterator[str]:
        at = parse(folder)
        yield from (item.path.rpartition("/")[2] for item in self._listed(folder, at, at.path.rstrip("/"), False))

    def open(self, uri: str) -> BinaryIO:
        at = parse(uri)
        with self._explained(uri, at):
            download = partial(self._api.hf_hub_download, at.dataset, at.path, repo_type="dataset", revision=at.revision)
            return open(self._send(download), "rb")

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        raise PermissionError(f"{uri}: hf is read only")

    def swap(self, uri: str, data: bytes, version: str | None) -> bool:
        raise PermissionError(f"{uri}: hf is read only")

    def delete(self, uris: Sequence[str]) -> None:
        raise PermissionError(f"{uris[0]}: hf is read only")

    def _listed(self, uri: str, at: Address, folder: str, recursive: bool) -> list[Any]:
        """What is in a folder; nothing if there is no such folder."""

        def tree() -> list[Any]:
            try:
                options = {"recursive": recursive, "revision": at.revision, "repo_type": "dataset"}
                return list(self._api.list_repo_tree(at.dataset, folder or None, **options))
            except self._errors.EntryNotFoundError:
                return []

        with self._explained(uri, at):
            return self._send(tree)

    def _send(self, request: Callable[[], Any]) -> Any:
        return retry(request, (self._errors.HfHubHTTPError,), _is_transient)

    @contextmanager
    def _explained(self, uri: str, at: Address) -> Iterator[None]:
        """Turns errors that a person can do something about into OSErrors that say what."""
        page = f"{self._api.endpoint}/datasets/{at.dataset}"
        try:
            yield
        except self._errors.GatedRepoError as error:
            message = f"{uri}: the dataset is gated: ask for access at {page}, and {_LOG_IN}"
            raise PermissionError(message) from error
        except self._errors.RepositoryNotFoundError as error:
            message = f"{uri}: there is no dataset {at.dataset}, or it is private: correct the name, or {_LOG_IN}"
            raise FileNotFoundError(message) from error
        except self._errors.RevisionNotFoundError as error:
            raise FileNotFoundError(f"{uri}: {at.dataset} has no revision '{at.revision}': see {page}/tree/main") from error
        except self._errors.LocalEntryNotFoundError as error:
            message = f"{uri}: the Hub cannot be reached, or HF_HUB_OFFLINE is set, and the file is not in the cache"
            raise OSError(errno.EIO, message) from error
        except self._errors.EntryNotFoundError as error:
            raise FileNotFoundError(f"{uri}: no such file: see {page}/tree/{at.revision or 'main'}") from error


def _is_file(item: Any) -> bool:
    return hasattr(item, "size")


def _entry(at: Address, item: Any) -> Entry:
    return Entry(f"{at.root}/{item.path}", item.size, item.lfs.sha256 if item.lfs is not None else item.blob_id)


def _is_transient(error: Any) -> bool:
    response = getattr(error, "response", None)
    return response is not None and is_transient_status(response.status_code)
