"""Object stores by fsspec: which there are, where their credentials come from, what their errors mean, requests that are tried again."""

from __future__ import annotations

import enum
import errno
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cengine.connections.addresses import hidden
from cengine.connections.patience import patiently
from cengine.errors import CengineError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")


@dataclass(frozen=True)
class Client:
    """The package that speaks to a kind of store, our extra that brings it, and where its credentials come from."""

    package: str
    extra: str
    credentials: str

    @property
    def how(self) -> str:
        """Where credentials come from, as a note."""
        return f"credentials come from the environment or a profile: {self.credentials}"


_S3 = Client(
    "s3fs",
    "s3",
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_ENDPOINT_URL for a server that is not Amazon's",
)
_GOOGLE = Client(
    "gcsfs",
    "gcs",
    "GOOGLE_APPLICATION_CREDENTIALS with a service account's file, or `gcloud auth application-default login`",
)
_AZURE = Client(
    "adlfs", "azure", "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY"
)
# By the beginning of an address.
CLIENTS = {"s3": _S3, "gs": _GOOGLE, "gcs": _GOOGLE, "az": _AZURE, "abfs": _AZURE, "abfss": _AZURE}

# One try a request, for trying again is ours: it is said, and it has an end.
_S3_OPTIONS = {"config_kwargs": {"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 60}}
# Errors of credentials by the names of their classes: they are of packages that need not be here.
_NO_CREDENTIALS = ("RefreshError", "ProfileNotFound", "UnauthorizedSSOTokenError", "SSOTokenLoadError")
_REFUSED = re.compile(r"\b(Forbidden|AccessDenied|Unauthorized|AuthenticationFailed|AuthorizationFailure|403|401)\b")
# What waiting does not mend: mistakes of the caller, settings that cannot be, and a disk of this machine.
_LASTING = (TypeError, AttributeError, NotImplementedError, ValueError, CengineError)
_LASTING_NAMES = ("ParamValidationError", "InvalidRegionError")
_OF_OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Why(enum.Enum):
    """What kind of trouble a store makes."""

    NO_PACKAGE = enum.auto()
    NO_CREDENTIALS = enum.auto()
    REFUSED = enum.auto()
    MISSING = enum.auto()
    OTHER = enum.auto()


class StoreTrouble(Exception):
    """What went wrong at a store: `why`, and `told`, the client's words in one line without secrets. Whoever asked says what it means."""

    def __init__(self, why: Why, told: str) -> None:
        super().__init__(told)
        self.why = why
        self.told = told


class ObjectStore:
    """The client of a kind of store, `scheme` one of CLIENTS. `name` is what warnings call it. All that goes wrong is a StoreTrouble."""

    def __init__(self, scheme: str, name: str) -> None:
        self.client = CLIENTS[scheme]
        self._name = name
        self._reached = self._given_up = False
        try:
            import fsspec

            importlib.import_module(self.client.package)
        except ImportError:
            raise StoreTrouble(Why.NO_PACKAGE, f"{self.client.package} is not installed") from None
        options = _S3_OPTIONS if self.client is _S3 else {}
        try:
            self.files: AbstractFileSystem = fsspec.filesystem(
                scheme, skip_instance_cache=True, use_listings_cache=False, **options
            )
        except Exception as error:  # each store's client has exceptions of its own
            raise trouble_of(error) from None
        self.files.retries = 1

    def request(self, once: Callable[[], T]) -> T:
        """What `once` gives, tried again for a while where the store does not answer. Our own errors come as they are."""
        try:
            result = patiently(once, self._passing, self._name, reached=self._reached)
        except CengineError:
            raise
        except Exception as error:  # each store's client has exceptions of its own
            raise trouble_of(error) from None
        self._reached = True
        return result

    def give_up(self) -> None:
        """Nobody waits for requests any more: none is tried again."""
        self._given_up = True

    def _passing(self, error: Exception) -> str | None:
        """Why the same may well succeed a little later, None where it will not."""
        lasting = isinstance(error, _LASTING) or type(error).__name__ in _LASTING_NAMES
        if self._given_up or lasting or (isinstance(error, OSError) and error.errno in _OF_OUR_DISK):
            return None
        trouble = trouble_of(error)
        return trouble.told if trouble.why is Why.OTHER else None


def trouble_of(error: Exception) -> StoreTrouble:
    """The error of whichever client as ours."""
    kind = type(error).__name__
    told = " ".join(hidden(str(error)).split()).partition(" Content: <?xml")[0] or kind  # Azure adds its whole answer
    if isinstance(error, FileNotFoundError):
        return StoreTrouble(Why.MISSING, told)
    if "Credentials" in kind or kind in _NO_CREDENTIALS or "credentials" in told.lower() or "account_name" in told:
        return StoreTrouble(Why.NO_CREDENTIALS, told)
    if isinstance(error, PermissionError) or _REFUSED.search(told):
        return StoreTrouble(Why.REFUSED, told)
    return StoreTrouble(Why.OTHER, told)
