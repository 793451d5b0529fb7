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

from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve_extender.cache.objects import Node, Pod
from ecoserve_extender.cache.records import PendingPod, pending_pod
from ecoserve_extender.policy.scoring import Ranking
from ecoserve_extender.policy.verdict import Rejection


class MalformedRequestError(EcoserveError):
    """The body of a request is not what kube-scheduler sends."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question: the pod, and the names of its candidates in the order asked.

    `full_nodes` holds the nodes as sent where the scheduler sent whole nodes instead of names.
    """

    pod: PendingPod
    names: tuple[str, ...]
    full_nodes: Mapping[str, Raw] | None


class _NodeList(Struct):
    items: list[Raw] | None = None


class _ExtenderArgs(Struct, rename="pascal"):
    pod: Pod | None = None
    nodes: _NodeList | None = None
    node_names: tuple[str, ...] | None = None


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
_node = msgspec.json.Decoder(Node)
_encoder = msgspec.json.Encoder()


def decode_request(body: bytes) -> Request:
    """Read the body of a filter or prioritize call; raises MalformedRequestError with one sentence."""
    try:
        args = _args.decode(body)
        if args.pod is None:
            raise MalformedRequestError("body: the field Pod is missing")
        pod = pending_pod(args.pod)
        if args.node_names is None and args.nodes is not None:
            nodes = {_node.decode(raw).metadata.name: raw for raw in args.nodes.items or ()}
            return Request(pod, tuple(nodes), nodes)
        return Request(pod, args.node_names or (), None)
    except (msgspec.MsgspecError, InvalidInputError, UnicodeError) as error:
        raise MalformedRequestError(f"body: {error}") from None
    except RecursionError:
        raise MalformedRequestError("body: nested too deeply") from None


def encode_filter(
    request: Request, passed: Sequence[str], rejected: Mapping[Rejection, Sequence[str]]
) -> bytes:
    """Encode the reply to filter. Refused nodes are unresolvable: evicting pods from them would change nothing."""
    full = request.full_nodes
    reason_of: dict[str, Rejection] = {}
    for reason, names in rejected.items():
        reason_of |= dict.fromkeys(names, reason)
    return _encoder.encode(
        _FilterResult(
            nodes=None if full is None else _NodesReply({}, [full[name] for name in passed]),
            node_names=passed if full is None else None,
            failed_nodes={},
            failed_and_unresolvable_nodes=reason_of,
        )
    )


def encode_priorities(ranking: Ranking) -> bytes:
    """Encode the reply to prioritize: a bare array, in any order.

    Candidates are few in score and many in name: names of one score are joined with what stands between them, several times
    faster than one object each. That is for names of nodes that exist, in which nothing needs escaping.
    """
    names, scores = ranking.names, ranking.scores
    if not ranking.plain:
        return _encoder.encode(list(map(_HostPriority, names.tolist(), scores.tolist())))
    parts = []
    for score in np.unique(scores).tolist():
        group = names[scores == score].tolist()
        parts += ['{"Host":"', f'","Score":{score}}},{{"Host":"'.join(group), f'","Score":{score}}}', ","]
    return f"[{''.join(parts[:-1])}]".encode()
