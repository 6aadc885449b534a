"""Addresses of databases whose passwords are never kept: `postgresql://user@host/database`, with ${VARIABLE} where one likes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import BeforeValidator, PlainSerializer

from cengine.errors import SourceError

T = TypeVar("T")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET_KEY = re.compile(r"pass(word|wd)?$|pwd|secret|token|key$", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """An address: `text` is what is shown and kept. What was typed as a password is used while the program runs, and is gone then."""

    text: str
    _password: str | None = field(default=None, repr=False, compare=False)
    _secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def reminder(self) -> str | None:
        """What is to be said where a password was typed."""
        if self._password is None and not self._secrets:
            return None
        return "the password is used now and not kept; for `datasource commit` give it in the environment, see docs/sources.md"

    def filled(self, password: str | None = None) -> str:
        """The whole address, variables and password put in. Raises SourceError for a variable that is not set."""
        whole = _VARIABLE.fullmatch(self.text)
        text = _VARIABLE.sub(lambda match: _value(match.group(1), quoted=whole is None), self.text)
        password = password if password is not None else self._password
        if password is not None:
            scheme, _, rest = text.partition("://")
            quoted = quote(password, safe="")
            text = f"{scheme}://" + rest.replace("@", f":{quoted}@", 1)
        if self._secrets:
            text += ("&" if "?" in text else "?") + urlencode(self._secrets)
        return text

    def named(self, schemes: tuple[str, ...]) -> Address:
        """The address itself. Raises ValueError where it does not begin as addresses of this database do."""
        scheme = self.text.partition("://")[0]
        if scheme not in schemes and not _VARIABLE.match(self.text):
            raise ValueError(f"'{self.text}' is no address of this kind: it begins with {schemes[0]}://")
        return self


def parse_address(value: object) -> Address:
    """The address of a text. A password in it does not become part of the text, of errors neither."""
    if isinstance(value, Address):
        return value
    text = str(value).strip()
    scheme, sign, rest = text.partition("://")
    if not sign:
        if _VARIABLE.fullmatch(text):
            return Address(text)
        raise ValueError("an address begins with a scheme, for example postgresql://USER@HOST/DATABASE")
    authority, slash, path = rest.partition("/")
    if "@" in path or authority.count("@") > 1 or "#" in rest:
        # Never echoed: where the password ends cannot be told.
        raise ValueError(
            "the address cannot be read: write @ / : # ? % in the password as %40 %2F %3A %23 %3F %25, or leave it out"
        )
    user, _, host = authority.rpartition("@")
    user, _, password = user.partition(":")
    parts = urlsplit(f"{scheme}://{host}{slash}{path}")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    secrets = tuple((key, word) for key, word in pairs if _SECRET_KEY.search(key) and not _VARIABLE.search(word))
    kept = [pair for pair in pairs if pair not in secrets]
    written_variable = _VARIABLE.fullmatch(password)
    shown_user = f"{user}:{password}" if written_variable else user
    shown = (
        f"{scheme}://{shown_user + '@' if user or written_variable else ''}{host}{slash}{parts.path.removeprefix('/')}"
    )
    shown += "?" + urlencode(kept, safe="/${}") if kept else ""
    if password and not written_variable and not user:
        raise ValueError("the address has a password but no user")
    return Address(shown, unquote(password) if password and not written_variable else None, secrets)


AddressField = Annotated[Address, BeforeValidator(parse_address), PlainSerializer(str)]


def keyring_password(shown: str) -> str | None:
    """The password that the system's keyring has for an address, where there is a keyring: service `cengine`, user the address as shown."""
    try:
        import keyring

        return keyring.get_password("cengine", shown)
    except Exception:  # no package, no keyring, a locked one: each is no password
        return None


def connected(address: Address, connect: Callable[[str | None], T], wants_password: Callable[[Exception], bool]) -> T:
    """What `connect` gives without a password or, where the server wants one that nobody gave, with the keyring's."""
    try:
        return connect(None)
    except Exception as error:
        kept = keyring_password(address.text) if wants_password(error) else None
        if kept is None:
            raise
    return connect(kept)


def _value(name: str, *, quoted: bool) -> str:
    if name not in os.environ:
        raise SourceError(
            f"the address names ${{{name}}}, but there is no such variable in the environment", f"export {name}=..."
        )
    return quote(os.environ[name], safe="") if quoted else os.environ[name]


# Addresses of files

_PASSWORD = re.compile(r"(?<=://)([^/@\s]*?):([^/\s]*)@")
_SECRET_PAIR = re.compile(
    r"(?<=[?&;])([\w.-]*(?:pass(?:word|wd)?|pwd|secret|token|key|sig|signature|credential)[\w.-]*)=[^&;\s]*",
    re.IGNORECASE,
)


def hidden(text: str) -> str:
    """The text with `***` for each password, key, token and signature in an address."""
    return _SECRET_PAIR.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", text))


def refuse_secret(path: str) -> None:
    """Raises ValueError for a path or address that holds a secret, since it would be kept and shown as it is."""
    if hidden(path) != path:
        raise ValueError(
            f"'{hidden(path)}' holds a secret; leave it out: credentials of stores come from the environment or a profile,"
            " see docs/sources.md"
        )
