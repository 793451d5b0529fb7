"""A cluster: started, found again, asked for credentials, extended by further programs, stopped.

Starting goes: reserve a name and ports, make certificates, start etcd and the API server together (the server waits
for etcd), then everything that talks to it, each polled for its own health. Whatever fails or interrupts the start ends
all that was started. A handle owns what it started through its supervisor; see `supervisor` for how nothing outlives it.
"""

import contextlib
import copy
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import yaml
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve_devcluster import components, ports, state
from ecoserve_devcluster.audit import audit_policy
from ecoserve_devcluster.binaries import CONTROL_PLANE, KWOK
from ecoserve_devcluster.build import binary, build_missing
from ecoserve_devcluster.components import Component
from ecoserve_devcluster.errors import DevclusterError, KubectlError, PortTakenError
from ecoserve_devcluster.paths import cluster_folder
from ecoserve_devcluster.pki import Pair, write_kubeconfig
from ecoserve_devcluster.process import Process, wait_ready
from ecoserve_devcluster.stages import stages
from ecoserve_devcluster.supervision import Supervision

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_START_ATTEMPTS = 3
_OK = 200


@dataclass(frozen=True)
class ClusterSettings:
    """How long simulated things take, and whose requests are written down."""

    serving_start_seconds: float = 3.0  # model load: pods labelled ecoserve.dev/serving run but are not Ready
    job_seconds: float = 60.0  # pods of Jobs without the annotation ecoserve.dev/simulated-duration
    audited_namespaces: tuple[str, ...] = ()  # requests of their ServiceAccounts go to `Cluster.audit_log`


class Cluster:
    """A handle on a running cluster; made by `start` or `attach`."""

    def __init__(self, name: str, *, starts_it: bool) -> None:
        """Handle the cluster in the folder of this name; with `starts_it`, ending the handle ends the cluster."""
        self.name = name
        self.folder = cluster_folder(name)
        self._starts_it = starts_it
        self._supervision: Supervision | None = None
        self._processes: dict[str, Process] = {}
        self._reader: ApiClient | None = None
        self._lock = threading.Lock()

    @classmethod
    def start(cls, name: str, settings: ClusterSettings | None = None) -> Self:
        """Start a cluster and return when all of it is ready; build missing binaries first.

        Raises `InvalidInputError` for a name that is taken or impossible, and `DevclusterError`, with the last log lines
        of the component at fault, if it does not come up.
        """
        cluster_folder(name)  # a bad name is told before anything is built
        build_missing([CONTROL_PLANE, KWOK])
        attempts = Retrying(
            retry=retry_if_exception_type(PortTakenError),
            stop=stop_after_attempt(_START_ATTEMPTS),
            reraise=True,
        )
        return attempts(cls._start_once, name, settings or ClusterSettings())

    @classmethod
    def attach(cls, name: str) -> Self:
        """Return a handle on a cluster that runs; raise `UnknownNameError` if there is none of this name."""
        state.require(name)
        return cls(name, starts_it=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return state.require(self.name).server

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfigs" / "admin.yaml"

    @property
    def audit_log(self) -> Path:
        """Where the API server writes requests down, for `read_audit`."""
        return self.log("audit")

    def process(self, name: str) -> Process:
        """Return a program that this handle started, the cluster's own among them; raises `UnknownNameError`."""
        if name not in self._processes:
            raise UnknownNameError("process", name, self._processes)
        return self._processes[name]

    def log(self, name: str) -> Path:
        """Return the file that holds the output of the program called `name`."""
        return self.folder / "logs" / f"{name}.log"

    def processes(self) -> tuple[state.ProcessIdentity, ...]:
        """Return what runs in this cluster, in the order of starting."""
        return tuple(each for each in state.require(self.name).processes if each.runs)

    def close(self) -> None:
        """End what this handle started: the cluster, or what an attached handle added to it."""
        with self._lock:
            supervision, self._supervision = self._supervision, None
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()  # type: ignore[no-untyped-call]  # the client has few types
        if supervision is None:
            return
        supervision.close()
        with state.registry_lock():
            state.clear_wrecks()  # only if the supervisor was killed is there anything left

    def stop(self) -> None:
        """End the cluster, whoever started it; nothing happens if it has ended."""
        if not self._starts_it:
            with contextlib.suppress(UnknownNameError):
                state.stop(self.name)
        self.close()

    def detach(self) -> None:
        """Let what this handle started outlive this process, until `stop` or `ecoserve-devcluster down`."""
        with self._lock:
            supervision, self._supervision = self._supervision, None
        if supervision is None:
            return
        supervision.detach()
        self._starts_it = False
        state.update(self.name, lambda old: msgspec.structs.replace(old, detached=True))

    def client(self, kubeconfig: Path | None = None) -> "ApiClient":
        """Return a client that acts as the administrator or as whom `kubeconfig` names; leave it with `with`."""
        import kubernetes  # takes a second, which most commands can do without

        configuration = kubernetes.client.Configuration(no_proxy="127.0.0.1")
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            str(kubeconfig or self.kubeconfig), client_configuration=configuration
        )
        return kubernetes.client.ApiClient(configuration)

    def kubectl(self, *arguments: str, kubeconfig: Path | None = None, stdin: str | None = None) -> str:
        """Run kubectl and return what it writes to stdout; raise `KubectlError` with its stderr if it fails."""
        common = [f"--kubeconfig={kubeconfig or self.kubeconfig}", f"--cache-dir={self.folder / 'kubectl'}"]
        done = subprocess.run(
            [binary("kubectl"), *common, *arguments],
            input=stdin or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def read(self, path: str) -> Any:
        """Return the JSON that the API server answers the administrator to a GET of a path, as `/api/v1/nodes`.

        The connection is kept: to be asked many times over, where kubectl takes a fifth of a second of a core each time.
        Raises `DevclusterError` with the API server's words if it refuses.
        """
        with self._lock:
            reader = self._reader = self._reader or self.client()
        answer = reader.call_api("GET", f"{reader.configuration.host}{path}")
        told = answer.read()  # type: ignore[no-untyped-call]  # its stubs know no types
        if answer.status != _OK:  # what an aggregated server is away for is told in plain text
            raise DevclusterError(f"GET {path}: {answer.status} {told.decode(errors='replace').strip()}")
        return json.loads(told)

    def create_namespace(self, name: str) -> str:
        """Create a namespace, wait until pods can be created in it and return its name."""
        self.kubectl("create", "namespace", name)
        self._wait_for_default_account(name)
        return name

    def kubeconfig_for(self, service_account: str, namespace: str) -> Path:
        """Return a kubeconfig with a token of an existing ServiceAccount, valid for 24 h."""
        token = self.kubectl("create", "token", service_account, "--namespace", namespace, "--duration=24h")
        path = self.folder / "kubeconfigs" / f"{namespace}.{service_account}.yaml"
        return write_kubeconfig(
            path, f"ecoserve-{self.name}", self.server, self._authority, token=token.strip()
        )

    def free_port(self) -> int:
        """Return a loopback port that no other process of any cluster is given."""
        return ports.reserve(self.name, 1)[0]

    def start_scheduler(
        self,
        name: str,
        config: Mapping[str, Any],
        kubeconfig: Path | None = None,
    ) -> Process:
        """Start a further kube-scheduler with a `KubeSchedulerConfiguration` and return when it is ready.

        It acts as the administrator or as whom `kubeconfig` names. Leader election is off unless `config` asks for it.
        """
        acting = kubeconfig or self.kubeconfig
        completed = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            **copy.deepcopy(dict(config)),
        }
        completed["clientConnection"] = {**completed.get("clientConnection", {}), "kubeconfig": str(acting)}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(completed, sort_keys=False))
        serving = Pair(self.folder / "pki" / "serving.crt", self.folder / "pki" / "serving.key")
        component = components.configured_scheduler(
            name, binary("kube-scheduler"), file, acting, self.free_port(), serving
        )
        return self._run_ready(component)

    def run(
        self,
        name: str,
        argv: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        *,
        health_url: str | None = None,
        grace_seconds: float = 5.0,
    ) -> Process:
        """Run any program as part of the cluster; with a `health_url`, return when that answers 200.

        It ends with the cluster: SIGTERM, `grace_seconds`, SIGKILL. `environment` is added to this process's own.
        """
        arguments = tuple(str(argument) for argument in argv)
        return self._run_ready(Component(name, arguments, environment or {}, health_url, grace_seconds))

    @classmethod
    def _start_once(cls, name: str, settings: ClusterSettings) -> Self:
        with state.registry_lock():
            state.clear_wrecks()
            if state.read(name) is not None:
                raise InvalidInputError(
                    "cluster name",
                    name,
                    f"a cluster of this name runs already: `ecoserve-devcluster down --name {name}` ends it, "
                    "another name starts one beside it",
                )
            state.write(state.new(name))
        cluster = cls(name, starts_it=True)
        try:
            cluster._bring_up(settings)
        except BaseException:  # ctrl-C too: nothing may stay behind
            cluster.close()
            with state.registry_lock():
                state.remove(name)
            raise
        return cluster

    def _bring_up(self, settings: ClusterSettings) -> None:
        chosen = components.Ports(*ports.reserve(self.name, components.Ports.COUNT))
        server = f"https://127.0.0.1:{chosen.apiserver}"
        state.update(self.name, lambda old: msgspec.structs.replace(old, server=server))
        credentials = components.make_credentials(self.folder, self.name, server)
        stage_file = self.folder / "stages.yaml"
        stage_file.write_text(stages(settings.serving_start_seconds, settings.job_seconds))

        first = [
            components.etcd(binary("etcd"), self.folder, chosen, credentials),
            components.apiserver(
                binary("kube-apiserver"), chosen, credentials, self._audit(settings.audited_namespaces)
            ),
        ]
        wait_ready([self._run(each) for each in first])
        second = [
            components.controller_manager(binary("kube-controller-manager"), chosen, credentials),
            components.default_scheduler(binary("kube-scheduler"), chosen, credentials),
            components.kwok(binary("kwok"), self.folder, stage_file, chosen, credentials),
        ]
        for each in second:
            self._run(each)
        wait_ready(list(self._processes.values()))
        self._wait_for_default_account("default")

    def _audit(self, namespaces: tuple[str, ...]) -> components.Audit | None:
        if not namespaces:
            return None
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(audit_policy(namespaces)))
        return components.Audit(policy, self.audit_log)

    def _run_ready(self, component: Component) -> Process:
        process = self._run(component)
        try:
            wait_ready([process])
        except BaseException:
            process.kill()
            raise
        return process

    def _run(self, component: Component) -> Process:
        if any(each.name == component.name for each in self.processes()):
            raise InvalidInputError(
                "process name", component.name, f"it runs already in cluster {self.name}; choose another name"
            )
        log = self.log(component.name)
        process = Process(component, log, self._own_supervision(), self._authority, self._note)
        self._processes[component.name] = process
        return process

    def _own_supervision(self) -> Supervision:
        with self._lock:
            if self._supervision is None:
                self._supervision = self._new_supervision()
            return self._supervision

    def _new_supervision(self) -> Supervision:
        self.log("").parent.mkdir(exist_ok=True)
        log = self.log("supervisor")
        if not self._starts_it:
            supervision = Supervision(log)
            self._note(state.ProcessIdentity.of(f"supervisor-{supervision.pid}", supervision.pid))
            return supervision
        supervision = Supervision(log, removed_at_end=self.folder)
        identity = state.ProcessIdentity.of("supervisor", supervision.pid)
        state.update(self.name, lambda old: msgspec.structs.replace(old, supervisor=identity))
        return supervision

    def _note(self, identity: state.ProcessIdentity) -> None:
        state.update(self.name, lambda old: old.with_process(identity))

    @property
    def _authority(self) -> Path:
        return self.folder / "pki" / "ca.crt"

    def _wait_for_default_account(self, namespace: str) -> None:
        """Wait for what the controller manager makes in each namespace: pods are refused before."""
        self.kubectl(
            "wait", "--for=create", "serviceaccount/default", "--namespace", namespace, "--timeout=60s"
        )
