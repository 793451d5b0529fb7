"""Planning instances of several megabytes, through a real API server and kubectl."""

import asyncio
import json
import lzma
import random
import time
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config

from ecoserve.api import labels
from ecoserve_devcluster import Cluster
from ecoserve_operator import kubectl, kubectl_objects
from ecoserve_operator.kube import KubeApi
from ecoserve_operator.reporting.instance_store import InstanceStore
from ecoserve_operator.reporting.instances import PART_BYTES

FIRST = labels.INSTANCES_NAME


def export(cluster: Cluster, namespace: str, uid: str, plan: str, text: str) -> int:
    """Write an instance as the operator does; returns in how many parts."""

    async def write() -> int:
        configuration = Configuration()
        await load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
        async with KubeApi(configuration, 10.0) as api:
            api.fence.open(time.monotonic() + 60.0, token=1)
            files = {"carbon.json.xz": lzma.compress(text.encode(), preset=0)}
            return await InstanceStore(api, namespace).write(uid, plan, files)

    return asyncio.run(write())


def test_an_instance_of_megabytes_is_read_whole_or_not_at_all(
    api: Cluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    binaries: Any,
) -> None:
    folder: Path = binaries("kubectl").parent
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    monkeypatch.setattr(kubectl_objects, "_INSTANCE_TRIES", 1)
    plan = {
        "apiVersion": labels.API_VERSION,
        "kind": "PlacementPlan",
        "metadata": {"name": labels.CURRENT_PLAN},
        "spec": {"id": "a1", "plannedAt": "2026-01-01T00:00:00Z"},
    }
    api.kubectl("apply", "-f", "-", stdin=json.dumps(plan))
    uid = json.loads(api.kubectl("get", "placementplan", "current", "-o", "json"))["metadata"]["uid"]
    large = json.dumps({"spec": random.Random(1).randbytes(1_700_000).hex()})  # noqa: S311 - any will do

    def read(parts: int) -> tuple[int, str, str]:
        place = {"configMap": f"{namespace}/{FIRST}", "parts": parts, "plan": "a1"}
        patch = json.dumps({"status": {"instances": place}})
        api.kubectl("patch", "placementplan", "current", "--subresource=status", "--type=merge", "-p", patch)
        monkeypatch.setattr("sys.argv", ["kubectl-ecoserve", "plan", "--instance"])
        with pytest.raises(SystemExit) as ended:
            kubectl.main()
        return int(ended.value.code or 0), *capfd.readouterr()

    def part(name: str) -> Any:
        return json.loads(api.kubectl("get", "configmap", name, "-n", namespace, "-o", "json"))

    try:
        parts = export(api, namespace, uid, "a1", large)
        assert parts == 3
        assert len(lzma.compress(large.encode(), preset=0)) > 2 * PART_BYTES
        status, out, err = read(parts)
        assert (status, err) == (0, "")
        assert out.strip() == large
        (owner,) = part(f"{FIRST}-3")["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("PlacementPlan", uid)

        api.kubectl("delete", "configmap", f"{FIRST}-2", "-n", namespace)
        status, out, err = read(parts)
        assert (status, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert f"{FIRST}-2, part 2 of 3 of the instance, is missing" in err

        export(api, namespace, uid, "a2", large)
        status, out, err = read(parts)
        assert (status, out) == (2, "")
        assert "another plan" in err

        assert export(api, namespace, uid, "a1", "{}") == 1
        assert read(1) == (0, "{}\n", "")
        assert not any(part(f"{FIRST}-{number}").get("binaryData") for number in (2, 3))
    finally:
        api.kubectl("delete", "placementplan", "current")
