"""Which key belongs to which report, without the key: what the file says of it, and how it is found again.

A reference says where the key comes from (a file, a function of this program), or gives a short mark of a key: of one
that was given as text, and of one that comes from a callable which cannot be told by its name, such as a bound method,
a partial or a closure. The mark, 32 bits of a hash with a salt of the file's own, tells keys apart, and is too short to
guess a key by. So a report leaves only with the key that it was meant for, even where two programs with two keys, or
two tenants of one program, share one outbox.
"""

import hashlib
import os
import secrets
import sys
from collections.abc import Callable
from types import FunctionType

from xpander_sdk.outbox.storage.models import Destination
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.settings.configuration import Configuration, KeyFile

NONE = "none"


def credentials_reference(configuration: Configuration, salt: bytes) -> str:
    """
    Raises:
        ValueError: the target needs a key, and there is none.
    """
    if configuration.target != configuration.base_url:
        # A database's URL, with a password, which the file does not hold either.
        return f"url:{_mark(configuration.base_url.encode(), salt)}"
    if configuration.is_embedded:
        return NONE
    key = configuration.api_key
    if key is None:
        raise ValueError(f"{configuration.target} needs a key: set XPANDER_API_KEY, or pass Configuration(api_key=…)")
    if isinstance(key, KeyFile):
        return f"file:{os.path.abspath(key.path)}"
    if callable(key):
        return f"callable:{_name(key)}{_which(key, configuration, salt)}"
    return f"key:{_mark(key.encode(), salt)}"


def _mark(told: bytes, salt: bytes) -> str:
    return hashlib.blake2b(told, key=salt, digest_size=4).hexdigest()


def _which(key: Callable[[], str], configuration: Configuration, salt: bytes) -> str:
    """Of several callables of one name, which one."""
    if isinstance(key, FunctionType) and not (key.__closure__ or key.__defaults__ or key.__kwdefaults__):
        if "<" not in key.__qualname__:
            return ""
        code = key.__code__
        constants = [each for each in code.co_consts if isinstance(each, str | bytes | int | float | None)]
        return f":{_mark(repr((code.co_code, code.co_names, constants)).encode(), salt)}"
    try:
        return f":{_mark((configuration.current_key() or '').encode(), salt)}"
    except Exception:  # it fails now; this process alone may know later which one it was
        return f":{secrets.token_hex(4)}"


def _name(key: Callable[[], str]) -> str:
    kind = type(key)
    name = getattr(key, "__qualname__", kind.__qualname__)
    program = os.path.abspath(getattr(sys.modules.get("__main__"), "__file__", None) or "")
    return f"{program}:{getattr(key, '__module__', kind.__module__)}.{name}"


class Keyring:
    """The configurations that this process knows, by target."""

    def __init__(self, file: QueueStore) -> None:
        self._file = file
        self._known: dict[tuple[str, str, str], Configuration] = {}
        self._names: dict[Configuration, tuple[bytes, tuple[str, str, str]]] = {}
        self.takes_any_key = False
        """Whether XPANDER_API_KEY may stand in for a key that is not known here."""
        self.generation = 0
        """Grows with each configuration that becomes known."""

    def name(self, configuration: Configuration, salt: bytes) -> tuple[str, str, str]:
        """What a file with this salt calls the configuration's target: URL, organisation, reference to the key.

        Raises:
            ValueError: the configuration cannot reach any backend.
        """
        known = self._names.get(configuration)
        if known is not None and known[0] == salt:
            return known[1]
        configuration.get_full_url()  # an incomplete one is told now, and not by a worker later
        name = (configuration.target, configuration.organization_id or "", credentials_reference(configuration, salt))
        if len(self._names) > 1_000:  # of a program that makes a configuration for each report
            self._names.clear()
        self._names[configuration] = (salt, name)
        self._known[name] = configuration
        self.generation += 1
        return name

    def configuration(self, target: Destination) -> Configuration | None:
        """How to reach a target: as this process said, else as another process left it behind; None without its key."""
        return self._known.get(target.name) or _found(target, self._file.salt(), self.takes_any_key)


def _found(target: Destination, salt: bytes, takes_any_key: bool) -> Configuration | None:
    kind, _, named = target.credentials.partition(":")
    key: str | KeyFile | None = None
    url = target.base_url
    if kind == "url":
        url = os.environ.get("XPANDER_BASE_URL") or ""
        if _mark(url.encode(), salt) != named:
            return None
    elif kind == "file":
        key = KeyFile(named)
    elif kind != NONE:
        key = os.environ.get("XPANDER_API_KEY") or None
        is_the_one = key is not None and kind == "key" and _mark(key.encode(), salt) == named
        if key is None or not (is_the_one or takes_any_key):
            return None
    try:
        found = Configuration(base_url=url, organization_id=target.organization_id, api_key=key)
    except ValueError:  # what the environment holds now cannot be
        return None
    # Of an embedded store the organisation owns the runs, and the environment may name another one now.
    return None if found.is_embedded and found.organization_id != target.organization_id else found
