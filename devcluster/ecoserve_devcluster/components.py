"""The command lines of a cluster's components: pure functions of ports, certificates and settings.

Flags beyond what is needed to run at all: the scheduler and the controller manager show
the cluster's serving certificate (their health is then checked like the API server's), controllers act with their own
ServiceAccounts so that a role missing in a chart is missing here too, and etcd does not wait for the disk: a
development cluster never outlives its processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecoserve_devcluster.pki import SERVICE_RANGE, Authority, Pair, write_kubeconfig

_NODE_LEASE_SECONDS = 160
"""kwok renews a lease four times in this time: at the usual 40 s, 5,000 nodes would be 500 writes a second."""
_NODE_GRACE_SECONDS = 200
"""A node whose lease is older is taken for dead: longer than a lease, however busy the machine."""

FAKE_NODE_ANNOTATION = "kwok.x-k8s.io/node"


@dataclass(frozen=True)
class Component:
    """A program to run: `health_url` answers 200 once it is ready; `grace_seconds` is how long it may take to end."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    health_url: str | None = None
    grace_seconds: float = 0.0  # nothing of a development cluster is worth keeping: SIGKILL
    port: int | None = None


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one cluster."""

    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int
    kwok: int

    COUNT = 6


@dataclass(frozen=True)
class Credentials:
    """The certificates and kubeconfigs of one cluster."""

    authority: Path
    serving: Pair
    etcd_client: Pair
    service_accounts: Pair
    front_proxy: Path
    front_proxy_client: Pair
    admin: Path
    controller_manager: Path
    scheduler: Path
    kwok: Path


def make_credentials(folder: Path, cluster: str, server: str) -> Credentials:
    """Make all keys, certificates and kubeconfigs of a cluster in its folder."""
    authority = Authority(folder / "pki", cluster)
    # An authority of its own: whom it vouches for may say who a request comes from.
    front_proxy = Authority(folder / "pki" / "front-proxy", "front-proxy")

    def kubeconfig(name: str, user: str, *groups: str) -> Path:
        pair = authority.client(name, user, groups)
        path = folder / "kubeconfigs" / f"{name}.yaml"
        return write_kubeconfig(path, f"ecoserve-{cluster}", server, authority.certificate, pair=pair)

    return Credentials(
        authority=authority.certificate,
        serving=authority.serving("serving"),
        etcd_client=authority.client("etcd-client", "kube-apiserver"),
        service_accounts=authority.signing_key("service-accounts"),
        front_proxy=front_proxy.certificate,
        front_proxy_client=front_proxy.client("client", "front-proxy-client"),
        admin=kubeconfig("admin", "kubernetes-admin", "system:masters"),
        controller_manager=kubeconfig("controller-manager", "system:kube-controller-manager"),
        scheduler=kubeconfig("scheduler", "system:kube-scheduler"),
        kwok=kubeconfig("kwok", "kwok-controller", "system:masters"),
    )


def etcd(program: Path, folder: Path, ports: Ports, credentials: Credentials) -> Component:
    """Return etcd, reachable on loopback with a client certificate of the cluster."""
    client, peer = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peer}"
    pair = credentials.serving
    flags = {
        "name": "devcluster",
        "data-dir": folder / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"devcluster={peer}",
        "cert-file": pair.certificate,
        "key-file": pair.key,
        "trusted-ca-file": credentials.authority,
        "client-cert-auth": "true",
        "peer-cert-file": pair.certificate,
        "peer-key-file": pair.key,
        "peer-trusted-ca-file": credentials.authority,
        "peer-client-cert-auth": "true",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return Component("etcd", _argv(program, flags))


@dataclass(frozen=True)
class Audit:
    """What the API server is to write down of requests, and where."""

    policy: Path
    log: Path


def apiserver(program: Path, ports: Ports, credentials: Credentials, audit: Audit | None = None) -> Component:
    """Return the API server, with RBAC, the default admission plugins and the aggregation of further APIs."""
    keys = credentials.service_accounts
    audited = {} if audit is None else {"audit-policy-file": audit.policy, "audit-log-path": audit.log}
    flags = {
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "endpoint-reconciler-type": "none",  # endpoints may not hold a loopback address
        "secure-port": ports.apiserver,
        "tls-cert-file": credentials.serving.certificate,
        "tls-private-key-file": credentials.serving.key,
        "client-ca-file": credentials.authority,
        "requestheader-client-ca-file": credentials.front_proxy,
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": credentials.front_proxy_client.certificate,
        "proxy-client-key-file": credentials.front_proxy_client.key,
        "authorization-mode": "RBAC",
        "etcd-servers": f"https://127.0.0.1:{ports.etcd}",
        "etcd-cafile": credentials.authority,
        "etcd-certfile": credentials.etcd_client.certificate,
        "etcd-keyfile": credentials.etcd_client.key,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": keys.certificate,
        "service-account-signing-key-file": keys.key,
        "service-cluster-ip-range": SERVICE_RANGE,
        "allow-privileged": "true",
        **audited,
    }
    health = f"https://127.0.0.1:{ports.apiserver}/readyz"
    return Component("kube-apiserver", _argv(program, flags), health_url=health, port=ports.apiserver)


def controller_manager(program: Path, ports: Ports, credentials: Credentials) -> Component:
    """Return the controller manager with all controllers that are on by default."""
    flags = {
        **_shared_flags(credentials.controller_manager, ports.controller_manager, credentials.serving),
        "kubeconfig": credentials.controller_manager,
        "leader-elect": "false",
        "root-ca-file": credentials.authority,
        "service-account-private-key-file": credentials.service_accounts.key,
        "use-service-account-credentials": "true",
        "kube-api-qps": 200,  # at the default of 20, making those accounts takes five seconds of the start
        "kube-api-burst": 400,
        "node-monitor-grace-period": f"{_NODE_GRACE_SECONDS}s",
        "profiling": "false",
        "service-cluster-ip-range": SERVICE_RANGE,
    }
    health = f"https://127.0.0.1:{ports.controller_manager}/healthz"
    return Component("kube-controller-manager", _argv(program, flags), health_url=health)


def default_scheduler(program: Path, ports: Ports, credentials: Credentials) -> Component:
    """Return the scheduler every cluster has, with its default configuration."""
    flags = {
        **_shared_flags(credentials.scheduler, ports.scheduler, credentials.serving),
        "kubeconfig": credentials.scheduler,
        "leader-elect": "false",
    }
    health = f"https://127.0.0.1:{ports.scheduler}/readyz"
    return Component("kube-scheduler", _argv(program, flags), health_url=health, port=ports.scheduler)


def configured_scheduler(
    name: str,
    program: Path,
    configuration: Path,
    kubeconfig: Path,
    port: int,
    serving: Pair,
) -> Component:
    """Return a further scheduler that reads its `KubeSchedulerConfiguration` from a file."""
    flags = {**_shared_flags(kubeconfig, port, serving), "config": configuration}
    health = f"https://127.0.0.1:{port}/readyz"
    return Component(name, _argv(program, flags), health_url=health, grace_seconds=2.0, port=port)


def kwok(program: Path, folder: Path, stages: Path, ports: Ports, credentials: Credentials) -> Component:
    """Return kwok, which plays the nodes annotated `kwok.x-k8s.io/node: fake` and their pods."""
    flags = {
        "kubeconfig": credentials.kwok,
        "config": stages,
        "manage-nodes-with-annotation-selector": f"{FAKE_NODE_ANNOTATION}=fake",
        "node-lease-duration-seconds": _NODE_LEASE_SECONDS,
        "node-ip": "127.0.0.1",
        "node-port": ports.kwok,
        "server-address": f"127.0.0.1:{ports.kwok}",
    }
    health = f"http://127.0.0.1:{ports.kwok}/healthz"
    environment = {"KWOK_WORKDIR": str(folder / "kwok")}  # and not ~/.kwok, whose settings would count
    return Component("kwok", _argv(program, flags), environment, health_url=health)


def _shared_flags(kubeconfig: Path, port: int, serving: Pair) -> dict[str, object]:
    return {
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "tls-cert-file": serving.certificate,
        "tls-private-key-file": serving.key,
    }


def _argv(program: Path, flags: Mapping[str, object]) -> tuple[str, ...]:
    return (str(program), *(f"--{name}={value}" for name, value in flags.items()))
