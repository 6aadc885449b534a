"""Places for artifacts that several machines share: a folder, or a bucket of an object store."""

from __future__ import annotations

import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, final

from cengine.connections.object_stores import CLIENTS, ObjectStore, StoreTrouble, Why
from cengine.errors import StoreError
from cengine.extras import install_command
from cengine.store.permissions import make_folder, restrict

T = TypeVar("T")
# Kinds of object stores that artifacts may lie in: one that is written to must do it in one step, which is only known of these.
SCHEMES = ("s3", "gs", "gcs")


class Place(ABC):
    """Files by name; a name is relative and its parts are separated by `/`. Whatever goes wrong is a StoreError."""

    # How messages call it.
    name: str

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A small file, None where there is none."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Writes a small file in one step: nobody sees a part of it."""

    @abstractmethod
    def put(self, file: Path, name: str) -> None:
        """Copies a file to the place."""

    @abstractmethod
    def get(self, name: str, file: Path) -> None:
        """Copies a file from the place. Raises StoreError where there is none."""

    @abstractmethod
    def children(self, name: str) -> list[str]:
        """What is in a folder, by name; nothing where there is no such folder."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes a file, or a folder with all in it; no error where there is none."""


def open_place(address: str) -> Place:
    """The place that CENGINE_ARTIFACTS names. Raises StoreError where it cannot be one."""
    scheme, found, rest = address.partition("://")
    if not found:
        return SharedFolder(Path(address).expanduser())
    if scheme == "file":
        return SharedFolder(Path(rest))
    return _bucket(scheme, rest)


def _bucket(scheme: str, rest: str) -> Bucket:
    if scheme not in SCHEMES:
        raise StoreError(
            f"CENGINE_ARTIFACTS begins with '{scheme}', which is no place for artifacts",
            "write a folder's path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX",
        )
    bucket, _, prefix = rest.partition("/")
    if not bucket or "@" in bucket or ":" in bucket:  # a colon or an @ would be credentials: not shown
        raise StoreError(
            f"CENGINE_ARTIFACTS is not {scheme}://BUCKET/PREFIX",
            "credentials come from the environment or from where the cloud's own tools keep them",
        )
    return Bucket(scheme, bucket, prefix.strip("/"))


@final
class SharedFolder(Place):
    """A folder that all see, a network drive for example. It must be there: what is not mounted is not to be filled."""

    def __init__(self, root: Path) -> None:
        if not root.is_absolute():
            raise StoreError(f"CENGINE_ARTIFACTS is '{root}'", f"write the whole path: {root.absolute()}")
        if not root.is_dir():
            raise StoreError(
                f"there is no folder {root}", "CENGINE_ARTIFACTS names it; make it, or mount what it is on"
            )
        self.root = root
        self.name = str(root)

    def read(self, name: str) -> bytes | None:
        with self._errors():
            try:
                return (self.root / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, name: str, data: bytes) -> None:
        with self._errors():
            target = self.root / name
            aside = make_folder(target.parent) / f".{uuid.uuid4().hex}"
            try:
                with aside.open("xb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                restrict(aside)
                aside.replace(target)
            finally:
                aside.unlink(missing_ok=True)

    def put(self, file: Path, name: str) -> None:
        with self._errors():
            target = self.root / name
            make_folder(target.parent)
            with file.open("rb") as source, target.open("xb") as stream:
                shutil.copyfileobj(source, stream, 2**20)
                stream.flush()
                os.fsync(stream.fileno())
            restrict(target)

    def get(self, name: str, file: Path) -> None:
        with self._errors():
            shutil.copyfile(self.root / name, file)

    def children(self, name: str) -> list[str]:
        with self._errors():
            try:
                return sorted(path.name for path in (self.root / name).iterdir())
            except FileNotFoundError:
                return []

    def remove(self, name: str) -> None:
        with self._errors():
            target = self.root / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the artifacts in {self.name} cannot be used: {error.strerror or error}: {error.filename}",
                "CENGINE_ARTIFACTS names it",
            ) from error


@final
class Bucket(Place):
    """A bucket of an object store. Requests that fail are tried again for a while, and it is said."""

    def __init__(self, scheme: str, bucket: str, prefix: str) -> None:
        self.name = f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else "")
        self._path = f"{bucket}/{prefix}" if prefix else bucket
        self._client = CLIENTS[scheme]
        try:
            self._store = ObjectStore(scheme, self.name)
        except StoreTrouble as trouble:
            raise self._error(trouble) from None
        self._files = self._store.files

    def read(self, name: str) -> bytes | None:
        return self._request(lambda: bytes(self._files.cat_file(f"{self._path}/{name}")), missing=None)

    def write(self, name: str, data: bytes) -> None:
        self._request(lambda: self._files.pipe_file(f"{self._path}/{name}", data), missing=self._gone(name))

    def put(self, file: Path, name: str) -> None:
        self._request(lambda: self._files.put_file(str(file), f"{self._path}/{name}"), missing=self._gone(name))

    def get(self, name: str, file: Path) -> None:
        self._request(lambda: self._files.get_file(f"{self._path}/{name}", str(file)), missing=self._gone(name))

    def children(self, name: str) -> list[str]:
        found: list[str] = self._request(lambda: self._files.ls(f"{self._path}/{name}", detail=False), missing=[])
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found or [])

    def remove(self, name: str) -> None:
        self._request(lambda: self._files.rm(f"{self._path}/{name}", recursive=True), missing=None)

    def _gone(self, name: str) -> StoreError:
        return StoreError(f"there is no {name} in {self.name}")

    def _request(self, once: Callable[[], T], missing: T | StoreError) -> T:
        """What `once` gives; where there is no such file `missing`, raised if it is an error."""
        try:
            return self._store.request(once)
        except StoreTrouble as trouble:
            if trouble.why is not Why.MISSING or "bucket" in trouble.told.lower():
                raise self._error(trouble) from None
        if isinstance(missing, StoreError):
            raise missing
        return missing

    def _error(self, trouble: StoreTrouble) -> StoreError:
        match trouble.why:
            case Why.NO_PACKAGE:
                return StoreError(
                    f"artifacts in {self.name} need {self._client.package}, which is not installed",
                    install_command(self._client.extra),
                )
            case Why.NO_CREDENTIALS:
                return StoreError(
                    f"there are no credentials for {self.name}, or they are not accepted: {trouble.told}",
                    self._client.how,
                )
            case Why.REFUSED:
                return StoreError(
                    f"{self.name} refuses us: {trouble.told}", "reading, writing, listing and deleting must be allowed"
                )
            case Why.MISSING:
                return StoreError(f"there is no bucket for {self.name}", "CENGINE_ARTIFACTS names it; make it first")
        return StoreError(
            f"{self.name} cannot be used: {trouble.told}",
            "is it reachable from here? AWS_ENDPOINT_URL names another server",
        )
