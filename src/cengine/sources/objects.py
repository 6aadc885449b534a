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
from typing import Any, TypeVar

from cengine.connections.addresses import hidden
from cengine.connections.object_stores import CLIENTS, ObjectStore, StoreTrouble, Why
from cengine.errors import SourceError
from cengine.extras import install_command
from cengine.sources.folders import WILDCARD, fixed_folder, is_one_of, no_files, partition_of

T = TypeVar("T")
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
        if self.scheme not in CLIENTS:
            raise SourceError(
                f"'{hidden(address)}' begins with {self.scheme}://, which is not known",
                f"known: {', '.join(f'{s}://' for s in CLIENTS)}",
            )
        self.address = address
        self._client = CLIENTS[self.scheme]
        try:
            self._store = ObjectStore(self.scheme, address)
        except StoreTrouble as trouble:
            raise self._error(trouble) from None
        self._files = self._store.files

    def give_up(self) -> None:
        """Nobody waits for files any more."""
        self._store.give_up()

    def objects(self, suffixes: tuple[str, ...], kind: str) -> list[StoredObject]:
        """The files of the address, one file, a glob or a folder, sorted by name. Raises SourceError where there is none."""
        found, root = self._request(lambda: self._found(suffixes))
        if not found:
            raise no_files(self.address, kind, suffixes)
        objects = []
        for path, info in sorted(found.items()):
            folders = path[len(root) :].strip("/").split("/")[:-1] if root is not None else []
            objects.append(
                StoredObject(f"{self.scheme}://{path}", path, int(info["size"]), _stamp(info), partition_of(folders))
            )
        return objects

    def _found(self, suffixes: tuple[str, ...]) -> tuple[dict[str, dict[str, Any]], str | None]:
        """The files with what is known of each, and the folder whose folders below carry columns; None for one file."""
        path = self._files._strip_protocol(self.address)
        if WILDCARD.search(path):
            found = self._files.glob(path, detail=True)
            return {name: info for name, info in found.items() if info["type"] == "file"}, fixed_folder(path)
        if not self.address.endswith("/") and self._files.isfile(path):
            return {path: self._files.info(path)}, None
        found = self._files.find(path, detail=True)
        if not found and not self._files.exists(path):
            raise SourceError(f"there is no file or folder '{self.address}'")
        return {name: info for name, info in found.items() if is_one_of(name.rpartition("/")[2], suffixes)}, path

    def below(self, pattern: str) -> list[str]:
        """The addresses of what the pattern finds in the folder of the address."""
        folder = self._files._strip_protocol(self.address).rstrip("/")
        return [f"{self.scheme}://{name}" for name in self._request(lambda: self._files.glob(f"{folder}/{pattern}"))]

    def head(self, found: StoredObject, num_bytes: int | None = None) -> bytes:
        """The first bytes of a file, so many that its columns can be told where no number is given."""
        if not found.num_bytes:
            return b""
        end = min(num_bytes or HEAD_BYTES, found.num_bytes)
        return self._request(lambda: bytes(self._files.cat_file(found.path, start=0, end=end)))

    def parquet_schema(self, found: StoredObject, target: Path) -> None:
        """Writes a Parquet file with the columns of one in the store and no rows; only its end is read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        def read() -> pa.Schema:
            with self._files.open(found.path, "rb", cache_type="none", block_size=2**20) as stream:
                try:
                    return pq.read_schema(stream)
                except pa.ArrowException as error:
                    raise SourceError(
                        f"'{found.url}' cannot be read as Parquet: {str(error).splitlines()[0]}"
                    ) from None

        pq.write_table(self._request(read).empty_table(), target)

    def fetch(self, found: StoredObject, target: Path) -> None:
        """Copies a whole file."""
        self._request(lambda: self._files.get_file(found.path, str(target)))
        if target.stat().st_size != found.num_bytes:
            raise SourceError(
                f"'{found.url}' changed while it was read; nothing was registered", "run the command again"
            )

    def _request(self, once: Callable[[], T]) -> T:
        try:
            return self._store.request(once)
        except StoreTrouble as trouble:
            raise self._error(trouble) from None

    def _error(self, trouble: StoreTrouble) -> SourceError:
        match trouble.why:
            case Why.NO_PACKAGE:
                install = install_command(self._client.extra)
                return SourceError(f"{self.scheme}:// needs a package that is not installed", install)
            case Why.NO_CREDENTIALS:
                denied = f"there are no credentials for {self.address}, or they are not accepted: {trouble.told}"
                return SourceError(denied, self._client.how)
            case Why.REFUSED:
                refused = f"{self.address} may not be read with these credentials: {trouble.told}"
                return SourceError(refused, self._client.how)
            case Why.MISSING:
                return SourceError(f"there is no file or folder '{self.address}': {trouble.told}")
        again = "nothing was registered; run the command again when the store answers"
        return SourceError(f"{self.address} cannot be read: {trouble.told}", again)


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
        self.store.give_up()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def each(self, function: Callable[[int], T]) -> list[T]:
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
    with (
        contextlib.suppress(pa.ArrowException, OSError),
        pa.CompressedInputStream(pa.BufferReader(head), "zstd") as stream,
    ):
        while len(unpacked) < 8 * HEAD_BYTES and (piece := stream.read(2**20)):
            unpacked += piece
    return bytes(unpacked)


def _stamp(info: dict[str, Any]) -> str:
    """What a store says of a file that changes with its content: its digest or version, else its time."""
    for key in ("ETag", "etag", "generation", "md5Hash", "content_md5"):
        if info.get(key):
            return str(info[key]).strip('"')
    return str(info.get("LastModified") or info.get("last_modified") or info.get("updated") or info.get("mtime"))
