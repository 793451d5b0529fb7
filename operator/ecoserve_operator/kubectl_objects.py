"""What the plugin asks kubectl for: objects, the instance behind the plan, and what an extender remembers of a pod."""

import json
import lzma
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote

from ecoserve.api.labels import CURRENT_PLAN, GROUP
from ecoserve.errors import EcoserveError, InvalidInputError, UnknownNameError
from ecoserve_operator.kubectl_tables import Body
from ecoserve_operator.reporting.instances import BrokenInstanceError, part_names, put_together

_common: list[str] = []
_INSTANCE_TRIES = 5
_INSTANCE_WAIT_SECONDS = 0.5
_BY_HAND = (
    "write the world with `kubectl get nodes,llmservings,gridzones,hardwareprofiles -A -o json > world.json` and "
    "plan it with `ecoserve plan -f world.json --instance-out instance.json`"
)


class KubectlError(EcoserveError):
    """Kubectl could not answer, in its own words."""


def use(kubeconfig: str, context: str) -> None:
    """Have kubectl asked with these from now on; empty ones are left to it."""
    _common.clear()
    _common.extend([f"--kubeconfig={kubeconfig}"] if kubeconfig else [])
    _common.extend([f"--context={context}"] if context else [])


def remembered_of(pod: str, uid: str) -> Body | None:
    """What extenders still remember of a pod, asked through the API server; None where none can be asked.

    Each replica remembers what it was asked itself: after another scheduler has begun to lead the latest decision counts.
    """
    label = "app.kubernetes.io/name=ecoserve,app.kubernetes.io/component in (scheduler,extender)"
    try:
        extenders = kubectl("get", "pods", "--all-namespaces", f"--selector={label}", "--output=json")
    except KubectlError:
        return None  # not everybody may look at EcoServe's own pods; the annotation says the most
    found: list[Body] = []
    for each in json.loads(extenders)["items"]:
        where = each["metadata"]
        ports = (port for c in each["spec"]["containers"] for port in c.get("ports") or ())
        port = next((port["containerPort"] for port in ports if port.get("name") == "observe"), None)
        if port is None:
            continue  # it is served on its node's loopback only
        path = f"/api/v1/namespaces/{where['namespace']}/pods/{where['name']}:{port}/proxy/explain?pod={quote(pod)}"
        # One that was never asked about the pod, or has forgotten it, refuses.
        with suppress(KubectlError, ValueError):
            found.append(json.loads(kubectl("get", "--raw", path)))
    of_this = [answer for answer in found if answer.get("uid", uid) == uid]  # an older extender tells no uid
    return max(of_this, key=lambda answer: str(answer["decidedAt"]), default=None)


def instance_of(name: str) -> str:
    """The instance behind the current plan, as JSON; the operator writes it a moment after the plan."""
    problem = "the instance of the current plan is not written yet; try again in a moment"
    for attempt in range(_INSTANCE_TRIES):
        if attempt:
            time.sleep(_INSTANCE_WAIT_SECONDS)
        found = current_plan()
        place = (found.get("status") or {}).get("instances") or {}
        if place.get("problem"):
            raise KubectlError(f"the instance is not kept: {place['problem']}; {_BY_HAND}")
        if place.get("plan") == found["spec"]["id"]:
            namespace, _, config_map = place["configMap"].partition("/")
            names = part_names(config_map, place.get("parts", 1))
            parts = {part: _found("configmaps", part, namespace) for part in names}
            try:
                return _file(put_together(place["plan"], parts), name)
            except BrokenInstanceError as error:  # it may be being written
                problem = f"{error}; try again in a moment, or {_BY_HAND}"
    raise KubectlError(problem)


def _file(files: Mapping[str, bytes], name: str) -> str:
    by_objective = {file.partition(".")[0]: content for file, content in files.items()}
    if name and name not in by_objective:
        raise UnknownNameError("instance", name, by_objective)
    if not name and len(by_objective) > 1:
        known = ", ".join(sorted(by_objective))
        raise InvalidInputError("instance", None, f"give the objective, as servings follow several: {known}")
    content = by_objective[name] if name else next(iter(by_objective.values()))
    return lzma.decompress(content).decode()


def current_plan() -> Body:
    """The PlacementPlan that is being carried out."""
    return get(f"placementplans.{GROUP}", CURRENT_PLAN, "")


def get(kind: str, name: str, namespace: str) -> Body:
    """An object as JSON has it, of the context's namespace where none is given; raises KubectlError where there is none."""
    within = [f"--namespace={namespace}"] if namespace else []
    answer: Body = json.loads(kubectl(*within, "get", kind, name, "--output=json"))
    return answer


def _found(kind: str, name: str, namespace: str) -> Body | None:
    """The same, None where there is no such object."""
    said = kubectl(f"--namespace={namespace}", "get", kind, name, "--output=json", "--ignore-not-found")
    answer: Body | None = json.loads(said) if said else None
    return answer


def kubectl(*arguments: str) -> str:
    """Run kubectl and return what it prints; raises KubectlError with its last line."""
    argv = ["kubectl", *_common, *arguments]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InvalidInputError("kubectl", None, "it must be on PATH") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["kubectl failed without a word"]
        raise KubectlError(lines[-1])
    return done.stdout
