"""Files in object stores (s3://, gs://, az://): listed, looked at by a few bytes, and fetched whole, once, when their turn comes.

A snapshot needs every column of every row, so that a file is read from end to end anyway. Fetched whole it crosses the
network once, several at a time, and is then read like a local one; nothing else of the program knows of stores.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cengine.errors import CengineError, SourceError
from cengine.extras import install_command
from cengine.sources.addresses import hidden
from cengine.sources.folders import WILDCARD, fixed_folder, is_one_of, no_files, partition_of

# The package of fsspec for each kind of address, and our extra that brings it.
_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs"), "az": ("adlfs", "azure"), "abfs": ("adlfs", "azure"),
             "abfss": ("adlfs", "azure")}  # fmt: skip
_CREDENTIALS = {
    "s3fs": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_ENDPOINT_URL for a server that is not Amazon's",
    "gcsfs": "GOOGLE_APPLICATION_CREDENTIALS with a service account's file, or `gcloud auth application-default login`",
    "adlfs": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY",
}
HEAD_BYTES = 4 * 2**20
NUM_AT_ONCE = 4
# What is fetched ahead takes at most this much disk, and at most a quarter of what is free; one file always may.
MAX_AHEAD_BYTES = 4 * 2**30


@dataclass(frozen=True)
class StoredObject:
    """A file in a store: `stamp` changes whenever its content does; `partition` is as in `folders.Listed`."""

    url: str
    path: str
    num_bytes: int
    stamp: str
    partition: tuple[tuple[str, str | None], ...]

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]


def is_address(path: str) -> bool:
    """Whether a path is an address in a store."""
    return "://" in path


class Store:
    """The store that an address lies in. Raises SourceError for one of an unknown kind or without its package."""

    def __init__(self, address: str) -> None:
        self.scheme, _, self.path = address.partition("://")
        if self.scheme not in _PACKAGES:
            raise SourceError(
                f"'{hidden(address)}' begins with {self.scheme}://, which is not known", f"known: {', '.join(f'{s}://' for s in _PACKAGES)}"
            )
        self.address = address
        self.package, extra = _PACKAGES[self.scheme]
        try:
            import fsspec

            with self.translated():
                self.files: Any = fsspec.filesystem(self.scheme, skip_instance_cache=True, use_listings_cache=False)
        except ImportError:
            raise SourceError(f"{self.scheme}:// needs a package that is not installed", install_command(extra)) from None

    def objects(self, suffixes: tuple[str, ...], kind: str) -> list[StoredObject]:
        """The files of the address, one file, a glob or a folder, sorted by name. Raises SourceError where there is none."""
        with self.translated():
            found, root = self._found(suffixes)
        if not found:
            raise no_files(self.address, kind, suffixes)
        objects = []
        for path, info in sorted(found.items()):
            folders = path[len(root) :].strip("/").split("/")[:-1] if root is not None else []
            objects.append(StoredObject(f"{self.scheme}://{path}", path, int(info["size"]), _stamp(info), partition_of(folders)))
        return objects

    def _found(self, suffixes: tuple[str, ...]) -> tuple[dict[str, dict[str, Any]], str | None]:
        """The files with what is known of each, and the folder whose folders below carry columns; None for one file."""
        path = self.files._strip_protocol(self.address)
        if WILDCARD.search(path):
            found = self.files.glob(path, detail=True)
            return {name: info for name, info in found.items() if info["type"] == "file"}, fixed_folder(path)
        if not self.address.endswith("/") and self.files.isfile(path):
            return {path: self.files.info(path)}, None
        found = self.files.find(path, detail=True)
        if not found and not self.files.exists(path):
            raise SourceError(f"there is no file or folder '{self.address}'")
        return {name: info for name, info in found.items() if is_one_of(name.rpartition("/")[2], suffixes)}, path

    def head(self, found: StoredObject, num_bytes: int | None = None) -> bytes:
        """The first bytes of a file, so many that its columns can be told where no number is given."""
        with self.translated():
            head: bytes = (
                self.files.cat_file(found.path, start=0, end=min(num_bytes or HEAD_BYTES, found.num_bytes)) if found.num_bytes else b""
            )
            return head

    def parquet_schema(self, found: StoredObject, target: Path) -> None:
        """Writes a Parquet file with the columns of one in the store and no rows; only its end is read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self.translated(), self.files.open(found.path, "rb", cache_type="none", block_size=2**20) as stream:
            try:
                schema = pq.read_schema(stream)
            except pa.ArrowException as error:
                raise SourceError(f"'{found.url}' cannot be read as Parquet: {str(error).splitlines()[0]}") from None
        pq.write_table(schema.empty_table(), target)

    def fetch(self, found: StoredObject, target: Path) -> None:
        """Copies a whole file."""
        with self.translated():
            self.files.get_file(found.path, str(target))
        if target.stat().st_size != found.num_bytes:
            raise SourceError(f"'{found.url}' changed while it was read; nothing was registered", "run the command again")

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """The errors of whichever client as ours."""
        try:
            yield
        except (CengineError, ImportError, KeyboardInterrupt):
            raise
        except Exception as error:  # each store's client has exceptions of its own
            raise self._error(error) from None

    def _error(self, error: Exception) -> SourceError:
        told = " ".join(hidden(str(error)).split()).partition(" Content: <?xml")[0] or type(error).__name__  # Azure adds its whole answer
        kind = type(error).__name__
        how = f"credentials come from the environment or a profile: {_CREDENTIALS[self.package]}"
        if "Credentials" in kind or "credentials" in told.lower() or "account_name" in told:
            return SourceError(f"there are no credentials for {self.address}, or they are not accepted: {told}", how)
        refused = ("Forbidden", "AccessDenied", "Unauthorized", "AuthenticationFailed", "AuthorizationFailure", "403", "401")
        if isinstance(error, PermissionError) or any(word in told for word in refused):
            return SourceError(f"{self.address} may not be read with these credentials: {told}", how)
        if isinstance(error, FileNotFoundError):
            return SourceError(f"there is no file or folder '{self.address}': {told}")
        return SourceError(f"{self.address} cannot be read: {told}", "nothing was registered; run the command again when the store answers")


# Fetching


class Fetching:
    """Files fetched into `folder` ahead of their turn, several at a time; each goes when it was read."""

    def __init__(self, store: Store, objects: list[StoredObject], folder: Path) -> None:
        self.store = store
        self.objects = objects
        self.folder = folder
        self._pool = ThreadPoolExecutor(NUM_AT_ONCE, thread_name_prefix="fetch")
        self._begun: dict[int, Future[None]] = {}
        self._lock = threading.Lock()
        self._kept_bytes = 0
        self._limit_bytes = min(MAX_AHEAD_BYTES, shutil.disk_usage(folder).free // 4)

    def __enter__(self) -> Fetching:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def each(self, function: Callable[[int], Any]) -> list[Any]:
        """The function's results for the numbers of all files, several at a time."""
        return list(self._pool.map(function, range(len(self.objects))))

    def keep(self, number: int, content: bytes) -> None:
        """Takes a file that was read whole already, unless such files fill what may lie here."""
        with self._lock:
            self._kept_bytes += len(content)
            if self._kept_bytes > self._limit_bytes:
                return
            self._target(number).write_bytes(content)
            self._begun[number] = Future()
            self._begun[number].set_result(None)

    @contextlib.contextmanager
    def local(self, number: int) -> Iterator[Path]:
        """The file of this number, here for the block; those after it are on their way."""
        self._begin(number)
        target = self._target(number)
        try:
            self._begun[number].result()
            yield target
        finally:
            del self._begun[number]
            target.unlink(missing_ok=True)

    def _begin(self, number: int) -> None:
        """Sets off the file and as many after it as may lie here."""
        taken = 0
        for ahead in range(number, len(self.objects)):
            taken += self.objects[ahead].num_bytes
            if ahead > number and (taken > self._limit_bytes or ahead - number > NUM_AT_ONCE):
                break
            if ahead not in self._begun:
                self._begun[ahead] = self._pool.submit(self.store.fetch, self.objects[ahead], self._target(ahead))

    def _target(self, number: int) -> Path:
        return self.folder / f"{number:06d}-{self.objects[number].name}"


def text_of_head(head: bytes, name: str, whole: bool) -> bytes:
    """The text that a file begins with, uncompressed; of a part of a file only whole lines."""
    if name.endswith(".gz"):
        with contextlib.suppress(zlib.error):  # what is damaged is told when the file is read
            head = zlib.decompressobj(wbits=47).decompress(head, 8 * HEAD_BYTES)
        whole = False
    elif name.endswith(".zst"):
        head, whole = _unpacked_zstd(head), False
    end = len(head) if whole else head.rfind(b"\n") + 1
    return head[: end or len(head)]


def _unpacked_zstd(head: bytes) -> bytes:
    import pyarrow as pa

    unpacked = bytearray()
    with contextlib.suppress(pa.ArrowException, OSError), pa.CompressedInputStream(pa.BufferReader(head), "zstd") as stream:
        while len(unpacked) < 8 * HEAD_BYTES and (piece := stream.read(2**20)):
            unpacked += piece
    return bytes(unpacked)


def _stamp(info: dict[str, Any]) -> str:
    """What a store says of a file that changes with its content: its digest or version, else its time."""
    for key in ("ETag", "etag", "generation", "md5Hash", "content_md5"):
        if info.get(key):
            return str(info[key]).strip('"')
    return str(info.get("LastModified") or info.get("last_modified") or info.get("updated") or info.get("mtime"))
