"""Who a request comes from."""

from typing import Protocol

import anyio
import anyio.to_thread
from starlette.datastructures import Headers

from xpander_server.auth import Keys
from xpander_server.errors import Refusal


class Access(Protocol):
    async def organization(self, headers: Headers) -> str:
        """The organisation that a request speaks for. Raises Refusal where there is none."""
        ...


class OneOrganization:
    """Everything belongs to one organisation, and nobody is asked for a key."""

    def __init__(self, organization_id: str) -> None:
        self._organization_id = organization_id

    async def organization(self, headers: Headers) -> str:
        return self._organization_id


class KeyAccess:
    """The key tells the organisation."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        # A hash is slow on purpose. One at a time, apart from the threads that serve the store, so that strangers who
        # guess cannot hold up those who have a key.
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def organization(self, headers: Headers) -> str:
        given = [value for name, value in headers.raw if name == b"x-api-key"]
        if len(given) == 1 and given[0]:
            key = given[0]
            found = self._keys.remembered(key)
            if found is None:
                found = await anyio.to_thread.run_sync(
                    self._keys.organization_of, key, limiter=self._one_at_a_time, abandon_on_cancel=True
                )
            if found is not None:
                return found
        raise Refusal(401, "Missing or unknown API key: send one as x-api-key.", {"WWW-Authenticate": "ApiKey"})
