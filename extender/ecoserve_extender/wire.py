"""The scheduler extender's wire contract (k8s.io/kube-scheduler/extender/v1), as msgspec structs.

The Go types carry no JSON tags, so that keys are CamelCase and unused fields arrive as null. Replies always name
every field: `{}` from filter would refuse all nodes without a reason, and an object around the array of prioritize,
or a score that is no integer, would drop every score silently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve_extender.cache.names import Asked, NodeNames
from ecoserve_extender.cache.objects import Node, Pod
from ecoserve_extender.cache.records import PendingPod, pending_pod
from ecoserve_extender.cache.table import NodeTable
from ecoserve_extender.policy.scoring import HIGHEST_SCORE, Ranking
from ecoserve_extender.policy.shortlist import MOST
from ecoserve_extender.policy.verdict import Rejection


class MalformedRequestError(EcoserveError):
    """The body of a request is not what kube-scheduler sends."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question: the pod, and its candidates."""

    pod: PendingPod
    nodes: Asked
    text: bytes = b""
    """The names as sent."""
    listed: NodeNames | None = None
    """The names of all nodes, where all that were sent are among them: answers are then copied from there."""
    full_nodes: Mapping[str, Raw] | None = None
    """The nodes as sent, where the scheduler sent whole nodes instead of names."""


class _NodeList(Struct):
    items: list[Raw] | None = None


class _ExtenderArgs(Struct, rename="pascal"):
    pod: Pod | None = None
    nodes: _NodeList | None = None
    node_names: tuple[str, ...] | None = None


class _UncutArgs(Struct, rename="pascal"):
    pod: Pod | None = None
    node_names: Raw = Raw(b"null")


class _NodesReply(Struct):
    metadata: dict[str, str]
    items: list[Raw]


class _FilterResult(Struct, rename="pascal"):
    nodes: _NodesReply | None
    node_names: Sequence[str] | None
    failed_nodes: dict[str, str]
    failed_and_unresolvable_nodes: Mapping[str, Rejection]
    error: str = ""


class _HostPriority(Struct, rename="pascal", gc=False):
    host: str
    score: int


_args = msgspec.json.Decoder(_ExtenderArgs)
_uncut_args = msgspec.json.Decoder(_UncutArgs)
_node = msgspec.json.Decoder(Node)
_encoder = msgspec.json.Encoder()


def _text(text: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(text, np.uint8)


_NOTHING, _COMMA, _BRACE = _text(b""), _text(b","), _text(b"}")
_SCORED = np.stack([_text(b',{"Score":%2d,"Host":' % score) for score in range(HIGHEST_SCORE + 1)])
_FILTERED = b'{"Nodes":null,"NodeNames":%b,"FailedNodes":{},"FailedAndUnresolvableNodes":{%b},"Error":""}'


def decode_request(body: bytes, table: NodeTable) -> Request:
    """Read the body of a filter or prioritize call; raises MalformedRequestError with one sentence."""
    try:
        uncut = _uncut_args.decode(body)
        if uncut.pod is None:
            raise MalformedRequestError("body: the field Pod is missing")
        pod = pending_pod(uncut.pod)
        text = bytes(uncut.node_names)
        listed = table.listed
        rows = listed.find(text)
        if rows is not None:
            return Request(pod, Asked(rows, listed.by_row), text, listed)
        args = _args.decode(body)
        if args.node_names is None and args.nodes is not None:
            nodes = {_node.decode(raw).metadata.name: raw for raw in args.nodes.items or ()}
            return Request(pod, table.asked(tuple(nodes)), full_nodes=nodes)
        return Request(pod, table.asked(args.node_names or ()))
    except (msgspec.MsgspecError, InvalidInputError, UnicodeError) as error:
        raise MalformedRequestError(f"body: {error}") from None
    except RecursionError:
        raise MalformedRequestError("body: nested too deeply") from None


def encode_filter(request: Request, passed: Asked, rejected: Mapping[Rejection, Asked]) -> bytes:
    """Encode the reply to filter. Refused nodes are unresolvable: evicting pods from them would change nothing.

    Why nodes were refused is read where none is left. Beside one that is, long lists of reasons only cost time.
    """
    if passed and len(request.nodes) > MOST:
        rejected = {}
    if request.listed is not None:
        quoted = request.listed.quoted
        kept = (
            b"[%b]" % quoted(passed.rows, _COMMA, _NOTHING)[1:]
            if len(passed) < len(request.nodes)
            else request.text
        )
        reasons = [(nodes.rows, _text(b":" + _encoder.encode(reason))) for reason, nodes in rejected.items()]
        refused = b"".join(quoted(rows, _COMMA, reason) for rows, reason in reasons)
        return _FILTERED % (kept, refused[1:])
    full, names = request.full_nodes, passed.names()
    reason_of: dict[str, Rejection] = {}
    for reason, nodes in rejected.items():
        reason_of |= dict.fromkeys(nodes.names(), reason)
    return _encoder.encode(
        _FilterResult(
            nodes=None if full is None else _NodesReply({}, [full[name] for name in names]),
            node_names=names if full is None else None,
            failed_nodes={},
            failed_and_unresolvable_nodes=reason_of,
        )
    )


def encode_priorities(request: Request, ranking: Ranking) -> bytes:
    """Encode the reply to prioritize: a bare array of those on the list, as kube-scheduler counts 0 for what is not named."""
    nodes, scores = ranking.nodes.part(ranking.listed), ranking.scores[ranking.listed]
    if request.listed is not None:
        items = request.listed.quoted(nodes.rows, _SCORED.take(scores, axis=0), _BRACE)
        return b"[%b]" % items[1:]
    return _encoder.encode(list(map(_HostPriority, nodes.names(), scores.tolist())))
