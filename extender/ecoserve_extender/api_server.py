"""How the API server is asked: with the client library's credentials and connections, answers read as they come.

The library's own calls read every answer whole, and make generated models of it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from kubernetes.aio.client import ApiClient


@asynccontextmanager
async def asked(
    client: ApiClient,
    method: str,
    path: str,
    *,
    timeout: aiohttp.ClientTimeout,
    names: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: object = None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Ask, and give out the answer, whatever its status; `names` fill what stands in braces in the path.

    Raises aiohttp.ClientError, TimeoutError and OSError where there is none.
    """
    verb, url, sent, content, _ = await client.param_serialize(
        method,
        path,
        path_params=dict(names or {}),
        query_params=list((query or {}).items()),
        header_params=dict(headers or {}),
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = await client.call_api(verb, url, sent, content, _request_timeout=timeout)
    async with answer.response as response:
        yield response
