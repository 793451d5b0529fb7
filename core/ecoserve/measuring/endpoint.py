"""One streamed completion at an OpenAI-compatible endpoint, timed.

A token counts when its chunk arrives; how many tokens a prompt and an answer had is what the server reports at the
end of the stream, and the number of words and chunks where it doesn't. The key goes into one header and nowhere else.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from ecoserve.errors import InvalidInputError, MeasurementError

_CONNECT_SECONDS = 10.0
_SHOWN = 200
_MOST_CHUNKS_PER_TOKEN = 4
"""A chunk is a token or more; some servers split one that is several letters."""
_MOST_TOKENS = 10**8
_REFUSES_EXTENSIONS = (400, 422)
_REFUSES_KEY = (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model is served. `silence_seconds` is how long it may send nothing before it counts as stalled.

    `extensions` asks for answers of full length (`ignore_eos`, which vLLM, SGLang and llama.cpp know) and for the
    token counts; servers that refuse fields they don't know are asked without.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    silence_seconds: float = 60.0
    extensions: bool = True

    def __post_init__(self) -> None:
        check_address("--endpoint", self.url)
        if not self.silence_seconds > 0:
            raise InvalidInputError("--timeout", self.silence_seconds, "seconds above zero")

    @property
    def completions_url(self) -> str:
        """Where completions are asked for."""
        base = self.url.rstrip("/")
        return f"{base}/completions" if base.endswith("/v1") else f"{base}/v1/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One request, its times on one monotonic clock; `reported` where the server told how many tokens there were."""

    input_tokens: float
    output_tokens: float
    reported: bool
    sent: float
    first: float
    last: float

    @property
    def ttft_seconds(self) -> float:
        """Time to the first token."""
        return self.first - self.sent

    @property
    def tpot_seconds(self) -> float:
        """Time per token after the first."""
        return (self.last - self.first) / max(self.output_tokens - 1.0, 1.0)

    def tokens_between(self, start: float, end: float) -> float:
        """Output tokens that came within a window, taking them to come evenly."""
        length = self.last - self.first
        if length <= 0:
            return self.output_tokens if start <= self.first <= end else 0.0
        overlap = min(self.last, end) - max(self.first, start)
        return self.output_tokens * max(overlap, 0.0) / length


def check_address(option: str, url: str) -> None:
    """Raise InvalidInputError unless `url` is an HTTP address without a password, as addresses stand in messages."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.userinfo:
        raise InvalidInputError(option, parsed.host, "an address without user and password in it")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInputError(option, url, "an address such as http://host:8000")


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client for an endpoint, its key in the header."""
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    timeout = httpx.Timeout(endpoint.silence_seconds, connect=_CONNECT_SECONDS)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits) as client:
        yield client


class ExtensionsRefusedError(MeasurementError):
    """The server refuses the request as it stands."""


async def stream_completion(
    client: httpx.AsyncClient, endpoint: Endpoint, prompt: str, output_tokens: int
) -> Timing:
    """Ask for one completion and time its tokens.

    Raises MeasurementError for whatever keeps that from working; ExtensionsRefusedError where less may be asked for.
    """
    body: dict[str, Any] = {
        "model": endpoint.model,
        "prompt": prompt,
        "max_tokens": output_tokens,
        "temperature": 0.0,
        "stream": True,
    }
    if endpoint.extensions:
        body |= {"ignore_eos": True, "stream_options": {"include_usage": True}}
    url, sent = endpoint.completions_url, time.perf_counter()
    try:
        async with client.stream("POST", url, json=body) as response:
            await _check(response, endpoint)
            return await _timed(response, prompt, output_tokens, endpoint, sent)
    except httpx.ConnectError as error:
        raise MeasurementError(f"{url} can't be reached: {error}") from None
    except httpx.TimeoutException:
        raise MeasurementError(f"{url} sent nothing for {endpoint.silence_seconds:g} s (--timeout)") from None
    except httpx.HTTPError as error:
        raise MeasurementError(f"{url} broke off: {type(error).__name__}") from None


async def _check(response: httpx.Response, endpoint: Endpoint) -> None:
    url, status = endpoint.completions_url, response.status_code
    if status == httpx.codes.OK:
        kind = response.headers.get("content-type", "nothing").partition(";")[0]
        if kind != "text/event-stream":
            raise MeasurementError(
                f"{url} answers {kind}, not an event stream: is it an OpenAI-compatible endpoint?"
            )
        return
    said = " ".join((await response.aread()).decode(errors="replace").split())[:_SHOWN]
    if status in _REFUSES_KEY:
        raise MeasurementError(
            f"{url} answers {status}: it wants a key, in the variable that --api-key-env names"
        )
    if status in _REFUSES_EXTENSIONS and endpoint.extensions:
        raise ExtensionsRefusedError(f"{url} answers {status}: {said}")
    raise MeasurementError(f"{url} answers {status}: {said}")


async def _timed(
    response: httpx.Response, prompt: str, output_tokens: int, endpoint: Endpoint, sent: float
) -> Timing:
    url = endpoint.completions_url
    arrivals: list[float] = []
    usage: dict[str, Any] = {}
    ended = False
    async for line in response.aiter_lines():
        if time.perf_counter() - (arrivals[-1] if arrivals else sent) > endpoint.silence_seconds:
            raise MeasurementError(f"{url} sent no token for {endpoint.silence_seconds:g} s (--timeout)")
        if not line.startswith("data:"):
            continue
        text = line[len("data:") :].strip()
        if text == "[DONE]":
            ended = True
            break
        event = _event(text, endpoint)
        usage = event["usage"] if isinstance(event.get("usage"), dict) else usage
        choices = _choices(event)
        ended = ended or any(choice.get("finish_reason") for choice in choices)
        if any(choice.get("text") for choice in choices):
            arrivals.append(time.perf_counter())
        if len(arrivals) > _MOST_CHUNKS_PER_TOKEN * output_tokens:
            raise MeasurementError(f"{url} streams on and on: {output_tokens} tokens were asked for")
    if not ended:
        raise MeasurementError(f"{url} broke a stream off after {len(arrivals)} of {output_tokens} tokens")
    if not arrivals:
        raise MeasurementError(f"{url} ended a stream without a token")
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return Timing(
        input_tokens=read or float(len(prompt.split())),
        output_tokens=written or float(len(arrivals)),
        reported=read is not None and written is not None,
        sent=sent,
        first=arrivals[0],
        last=arrivals[-1],
    )


def _choices(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = event.get("choices")
    return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []


def _count(usage: Mapping[str, Any], name: str) -> float | None:
    """Return a count of tokens, or None where there is none that could be one."""
    value = usage.get(name)
    return float(value) if type(value) is int and 0 < value < _MOST_TOKENS else None


def _event(text: str, endpoint: Endpoint) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise MeasurementError(f"{endpoint.completions_url} streams what is no JSON object: {text[:_SHOWN]}")
    if event.get("error"):
        raise MeasurementError(f"{endpoint.completions_url} reports: {str(event['error'])[:_SHOWN]}")
    return event
