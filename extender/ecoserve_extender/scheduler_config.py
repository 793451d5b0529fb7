"""The second kube-scheduler's configuration, as one pure function: chart, kind example and tests share it.

Values that are not Kubernetes' defaults each have a reason:

* The weight: the scheduler adds score × weight × 10 to in-tree totals of up to about 1,500; 20 lets carbon decide
  among nodes that fit, while in-tree scores still order nodes of equal carbon.
* `percentageOfNodesToScore: 100`: default sampling would hide the greenest node of a large cluster.
* `MostAllocated` of accelerators (of both resources that plans request), in a profile of our own: plans fill nodes. The default spreads pods of one device over all nodes of
  equal carbon, which leaves none whole for a replica of eight. Pods without accelerators are not told apart by it.
* `ignoredResourceGroups`: no node has resources of ours. A pod that asks for one that no entry names (made for a patched default scheduler, or before the
  admission policies were taken away) would wait for ever.
* `nodeCacheCapable`: names only. Full nodes are hundreds of times larger and empty the in-tree resource scores.
* `httpTimeout: 1s`: the extender answers in milliseconds; a hung one must not hold every pod for the default 5 s.
* Two entries for one extender. Offline pods carry an extended resource (the admission policy adds it) and their entry is
  not ignorable: where the extender does not answer they wait, because only it keeps them off busy nodes and devices.
  The general entry scores all pods, and is ignorable: online pods schedule without it, by the scheduler's own
  scores. It has no filter, because it would refuse nothing, and each call is a millisecond of every pod's.
* No `bindVerb`: the scheduler believes whatever answers there that a pod is bound, and would wait for it for ever.
* `clientConnection.qps`: the default of 50 would cap binding at 50 pods/s whatever the extender does.

* `tlsConfig` always names a `caFile`, where there is TLS: without one kube-scheduler believes any certificate, and says nothing.

The default holds no address of a Service: Service DNS fails on the host network, and localhost needs no TLS.
"""

from collections.abc import Sequence
from typing import Any

from ecoserve.api.labels import AMD_RESOURCE, GPU_RESOURCE, GROUP, OFFLINE_RESOURCE, SCHEDULER_NAME

API_VERSION = "kubescheduler.config.k8s.io/v1"
SCORE_WEIGHT = 20
_DEFAULT_PROFILE = "default-scheduler"


def build_scheduler_configuration(
    extender_url: str = "http://127.0.0.1:8888",
    kubeconfig: str | None = None,
    *,
    profile: str = SCHEDULER_NAME,
    tls_folder: str | None = None,
    ignorable: bool = True,
    managed_resources: Sequence[str] = (),
    lease_namespace: str | None = None,
    lease_name: str = "ecoserve-scheduler",
    qps: int = 200,
    burst: int = 400,
) -> dict[str, Any]:
    """Return a KubeSchedulerConfiguration (v1) whose one profile asks the extender at `extender_url`.

    `kubeconfig` is the path to put into clientConnection (a `--kubeconfig` flag beside `--config` is ignored);
    None means in-cluster. `tls_folder` is where the scheduler finds its client certificate and the authority of the extender's,
    under the names that a Secret has (tls.crt, tls.key, ca.crt); None means plain HTTP. `ignorable` False makes every pod wait for the extender, in one entry that filters, too: right
    where nothing adds the offline pods' resource. `managed_resources` narrows the general entry to pods that request one of these extended
    resources, which no node has to advertise. `lease_namespace` None switches leader election off.
    """
    common: dict[str, Any] = {
        "urlPrefix": extender_url,
        "enableHTTPS": tls_folder is not None,
        "httpTimeout": "1s",
        "nodeCacheCapable": True,
    }
    if tls_folder is not None:
        files = {"caFile": "ca.crt", "certFile": "tls.crt", "keyFile": "tls.key"}
        common["tlsConfig"] = {key: f"{tls_folder}/{name}" for key, name in files.items()}
    offline = common | {"filterVerb": "filter", "ignorable": False} | _managed([OFFLINE_RESOURCE])
    general = common | {
        "prioritizeVerb": "prioritize",
        "weight": SCORE_WEIGHT,
        "ignorable": ignorable,
        **_managed(managed_resources),
    }
    entries = [offline, general] if ignorable else [general | {"filterVerb": "filter"}]
    connection: dict[str, Any] = {"qps": qps, "burst": burst}
    if kubeconfig is not None:
        connection["kubeconfig"] = kubeconfig
    election: dict[str, Any] = {"leaderElect": lease_namespace is not None}
    if lease_namespace is not None:
        election |= {"resourceNamespace": lease_namespace, "resourceName": lease_name}
    return {
        "apiVersion": API_VERSION,
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": connection,
        "leaderElection": election,
        "profiles": [build_profile(profile)],
        "extenders": entries,
    }


def build_profile(name: str = SCHEDULER_NAME) -> dict[str, Any]:
    """Return a profile; that of a default scheduler goes on scoring other people's pods as before."""
    profile: dict[str, Any] = {"schedulerName": name, "percentageOfNodesToScore": 100}
    if name != _DEFAULT_PROFILE:
        resources = [{"name": name, "weight": 1} for name in (GPU_RESOURCE, AMD_RESOURCE)]
        packing = {"type": "MostAllocated", "resources": resources}
        fits = {"ignoredResourceGroups": [GROUP], "scoringStrategy": packing}
        profile["pluginConfig"] = [{"name": "NodeResourcesFit", "args": fits}]
    return profile


def _managed(resources: Sequence[str]) -> dict[str, Any]:
    entries = [{"name": name, "ignoredByScheduler": True} for name in resources]
    return {"managedResources": entries} if entries else {}
