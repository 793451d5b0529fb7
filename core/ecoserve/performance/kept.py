"""Capacities as bytes, to be kept beyond a process: a document of JSON, compressed.

It bears a fingerprint of the model that found them, and is worth nothing to any other. Keys are digests of questions, so that a
document holds no question and none has to be understood. What can't be read is as good as nothing: it is found again.
"""

import json
import math
import zlib
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any

import numpy as np

from ecoserve.performance.capacity import Answer, CapacityLimit, Known, ReplicaCapacity
from ecoserve.performance.engine import Rejection, RejectionReason

_FIGURES = (
    "max_requests_per_second",
    "batch",
    "ttft_seconds",
    "tpot_seconds",
    "energy_per_request_joules",
    "latency_seconds",
    "load",
    "rate_error",
    "share_error",
)
_MOST_BYTES = 16 << 20
"""Decompressed: a hundred thousand answers."""
_MODEL_PACKAGES = ("ecoserve.catalog", "ecoserve.performance")


def encode(known: Known) -> bytes:
    """Return answers as a document."""
    answers = {key.hex(): _row(answer) for key, answer in known.items()}
    document = {"model": model_fingerprint(), "answers": answers}
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode())


def decode(document: bytes) -> dict[bytes, Answer]:
    """Return the answers of a document; none of one that is broken, or of another model."""
    try:
        whole = zlib.decompressobj()
        content = json.loads(whole.decompress(document, _MOST_BYTES))
        if not whole.eof or content["model"] != model_fingerprint():
            return {}
        return {bytes.fromhex(key): _answer(row) for key, row in content["answers"].items()}
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


@cache
def model_fingerprint() -> str:
    """Return what changes whenever the same question may have another answer: a digest of the model's code.

    The code holds the fitted constants. NumPy's version is in it, too: it draws the streams that are simulated.
    """
    digest = blake2b(np.__version__.encode(), digest_size=16)
    for package in _MODEL_PACKAGES:
        for source in sorted(files(package).iterdir(), key=lambda item: item.name):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()


def _row(answer: Answer) -> list[Any]:
    if isinstance(answer, Rejection):
        return [answer.reason, answer.detail]
    return [answer.limit, *(getattr(answer, name) for name in _FIGURES)]


def _answer(row: list[Any]) -> Answer:
    """Read an answer; raises ValueError, TypeError or OverflowError where it is none."""
    if len(row) == 2:
        reason, detail = row
        return Rejection(reason=RejectionReason(reason), detail=str(detail))
    limit, rate, *others = row
    if not 0.0 < rate < math.inf or not all(0.0 <= figure < math.inf for figure in others):
        raise ValueError(f"not figures of a replica: {row}")
    figures = dict(zip(_FIGURES, map(float, (rate, *others)), strict=True))
    return ReplicaCapacity(limit=CapacityLimit(limit), **figures)
