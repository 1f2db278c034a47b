"""References to API keys: the outbox file identifies the key of a report without containing it.

    Reference in the file     Key
    none                      no key: an embedded store
    file:<path>               content of the key file
    callable:<name>[:<mark>]  result of a function of this program; the mark tells callables of one name apart
    bound-key:<mark>          a key that was passed as text; the mark is one of key, URL and organization
    key:<mark>                the same in files of earlier versions; the mark is one of the key only
    url:<mark>                no key: a database URL, which may contain a password

A mark is a hash that is salted per file: 64 bits for `bound-key`, else 32 bits. A report is sent only with the key that
it was submitted with, even if two programs, or two tenants of one program, share a file.

Somebody who can write to the file must not get a key sent to an address of their own. A configuration of this program
delivers only to its own URL and organization. The environment's key delivers to

    bound-key                 the URL and organization that the mark confirms
    key, file, --any-key      XPANDER_BASE_URL and XPANDER_ORGANIZATION_ID; the reference does not confirm an address
"""

import hashlib
import os
import secrets
import sys
from collections.abc import Callable
from types import FunctionType

from xpander_sdk.outbox.storage.models import Destination, DestinationKey
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.settings.configuration import Configuration, KeyFile

NO_KEY = "none"
_MAX_CACHED_KEYS = 1_000


def credentials_reference(configuration: Configuration, salt: bytes) -> str:
    """Return the reference to the key of a configuration.

    Args:
        configuration: Configuration with the key.
        salt: Salt of the outbox file.

    Raises:
        ValueError: The destination needs a key, and the configuration has none.
    """
    if configuration.target != configuration.base_url:
        # `target` is the URL without its password.
        return f"url:{_mark(configuration.base_url.encode(), salt)}"
    if configuration.is_embedded:
        return NO_KEY
    key = configuration.api_key
    if key is None:
        raise ValueError(f"{configuration.target} needs a key: set XPANDER_API_KEY, or pass Configuration(api_key=…)")
    if isinstance(key, KeyFile):
        return f"file:{os.path.abspath(key.path)}"
    if callable(key):
        return f"callable:{_qualified_name(key)}{_callable_mark(key, configuration, salt)}"
    return _bound_key_reference(key, configuration.target, configuration.organization_id, salt)


def _bound_key_reference(key: str, target: str, organization_id: str | None, salt: bytes) -> str:
    return f"bound-key:{_mark(chr(0).join((key, target, organization_id or '')).encode(), salt, size=8)}"


def _unbound_key_reference(key: str, salt: bytes) -> str:
    return f"key:{_mark(key.encode(), salt)}"


def _mark(secret: bytes, salt: bytes, size: int = 4) -> str:
    return hashlib.blake2b(secret, key=salt, digest_size=size).hexdigest()


def _callable_mark(key: Callable[[], str], configuration: Configuration, salt: bytes) -> str:
    """Return ":" and a mark if the name does not identify the callable, else "".

    A function without closure and defaults always returns the key of the same tenant, so its name, or for a lambda its
    code, identifies it even after the key was rotated. For bound methods, partials, closures and instances the current
    key is the mark.
    """
    if isinstance(key, FunctionType) and not (key.__closure__ or key.__defaults__ or key.__kwdefaults__):
        if "<" not in key.__qualname__:
            return ""
        code = key.__code__
        constants = [value for value in code.co_consts if isinstance(value, str | bytes | int | float | None)]
        return f":{_mark(repr((code.co_code, code.co_names, constants)).encode(), salt)}"
    try:
        return f":{_mark((configuration.current_key() or '').encode(), salt)}"
    except (
        Exception
    ):  # The key is not available now. Only this process can deliver the report, with this configuration.
        return f":{secrets.token_hex(4)}"


def _qualified_name(key: Callable[[], str]) -> str:
    kind = type(key)
    name = getattr(key, "__qualname__", kind.__qualname__)
    program = os.path.abspath(getattr(sys.modules.get("__main__"), "__file__", None) or "")
    return f"{program}:{getattr(key, '__module__', kind.__module__)}.{name}"


class Keyring:
    """Configurations that this process can deliver with, by destination.

    Attributes:
        allow_any_key: Use XPANDER_API_KEY for destinations whose own key is unknown.
        generation: Number that grows with each added configuration.
    """

    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._configurations: dict[DestinationKey, Configuration] = {}
        self._destination_keys: dict[Configuration, tuple[bytes, DestinationKey]] = {}
        self.allow_any_key = False
        self.generation = 0

    def add(self, configuration: Configuration, salt: bytes) -> DestinationKey:
        """Add a configuration, and return the key of its destination in the file with this salt.

        Raises:
            ValueError: The configuration cannot reach a backend.
        """
        cached = self._destination_keys.get(configuration)
        if cached is not None and cached[0] == salt:
            return cached[1]
        configuration.get_full_url()  # An incomplete configuration fails here, and not later in a worker.
        configuration.check_key_protection()
        key = (configuration.target, configuration.organization_id or "", credentials_reference(configuration, salt))
        if len(self._destination_keys) > _MAX_CACHED_KEYS:  # The program creates a configuration for each report.
            self._destination_keys.clear()
        self._destination_keys[configuration] = (salt, key)
        self._configurations[key] = configuration
        if isinstance(configuration.api_key, str):  # Reports of an earlier version, for the same destination.
            self._configurations[*key[:2], _unbound_key_reference(configuration.api_key, salt)] = configuration
        self.generation += 1
        return key

    def configuration(self, destination: Destination) -> Configuration | None:
        """Return a configuration that can deliver to a destination, or None if its key is unknown here.

        A configuration of this process has priority. Otherwise, another process has submitted the reports, and the
        environment or a key file may provide the key.
        """
        known = self._configurations.get(destination.key)
        return known or _configuration_from_environment(destination, self._store.salt(), self.allow_any_key)


def _configuration_from_environment(destination: Destination, salt: bytes, allow_any_key: bool) -> Configuration | None:
    try:
        own = Configuration()
        if _is_confirmed(own, destination, salt):
            # `own` has the password of its URL.
            url = own.base_url if own.target == destination.base_url else destination.base_url
            configuration = own.with_options(base_url=url, organization_id=destination.organization_id)
            # The runs of an embedded store belong to an organization, and the environment may name another one now.
            is_other_owner = configuration.organization_id != destination.organization_id
            return None if configuration.is_embedded and is_other_owner else configuration
    except ValueError:  # A variable of the environment, or the URL of the destination, is invalid.
        return None
    is_own_destination = (own.target, own.organization_id or "") == destination.key[:2]
    if is_own_destination and (_is_own_key(own, destination, salt) or (allow_any_key and isinstance(own.api_key, str))):
        return own
    return None


def _is_confirmed(own: Configuration, destination: Destination, salt: bytes) -> bool:
    """Return whether the environment may deliver to the URL and organization of a destination, if it names others."""
    base_url, organization_id, credentials = destination.key
    kind, _, reference = credentials.partition(":")
    if kind == "url":
        return _mark(own.base_url.encode(), salt) == reference
    if kind == "bound-key":
        key = own.api_key
        return isinstance(key, str) and credentials == _bound_key_reference(key, base_url, organization_id, salt)
    return kind == NO_KEY and Configuration(base_url=base_url).is_embedded


def _is_own_key(own: Configuration, destination: Destination, salt: bytes) -> bool:
    """Return whether the reference is one to the environment's key, but does not confirm an address."""
    if isinstance(own.api_key, KeyFile):
        return destination.credentials == f"file:{os.path.abspath(own.api_key.path)}"
    return isinstance(own.api_key, str) and destination.credentials == _unbound_key_reference(own.api_key, salt)
