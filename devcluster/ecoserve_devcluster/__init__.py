"""A real Kubernetes control plane on loopback, without Docker, for demos, tests and benchmarks.

etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl 1.36.3 come linked into one Go binary;
kwok plays the nodes and the life of their pods. Binaries are built once per user and kept by version; a small
supervisor process owns the components, so that they end with whoever started them, however that one ends.

In Python::

    from ecoserve_devcluster import Cluster, ClusterSettings, apply_fleet, binary
    from ecoserve.fleet.fleet_file import FleetFile, load_fleet     # FleetFile(nodes=[{"sku": …, "count": …}]) in tests

    with Cluster.start("demo") as cluster:                      # etcd … kwok, ready to use; stopped on leaving
        apply_fleet(cluster, load_fleet(Path("examples/fleets/demo.yaml")))
        cluster.kubeconfig                                      # Path: administrator
        cluster.kubeconfig_for("operator", "ecoserve-system")   # Path: a real, RBAC-bound TokenRequest token (24 h)
        cluster.kubectl("get", "nodes", "-o", "wide")           # stdout; KubectlError with stderr when it fails
        cluster.kubectl("apply", "-f", "-", stdin=manifest)     # also kubeconfig=Path to act as somebody else
        cluster.read("/api/v1/nodes")                           # what the API server answers, from JSON
        cluster.client()                                        # kubernetes.client.ApiClient (context manager)
        scheduler = cluster.start_scheduler("ecoserve", config) # a second kube-scheduler; see below
        operator = cluster.run("operator", [sys.executable, "-m", "ecoserve_operator.main"], {"KUBECONFIG": "…"})

* ``Cluster.start(name, settings=ClusterSettings())`` builds missing binaries, starts and waits for readiness.
  ``ClusterSettings(serving_start_seconds=3.0, job_seconds=60.0)``: how long pods labelled ``ecoserve.dev/serving``
  load their model (Running, not Ready), and how long Job pods without the annotation
  ``ecoserve.dev/simulated-duration`` (a Go duration: ``90s``, ``1m30s``) run. ``audited_namespaces`` are those whose
  ServiceAccounts' requests the API server writes to ``cluster.audit_log``; ``read_audit`` reads it (module ``audit``).
* ``cluster.process("kube-apiserver")`` is the ``Process`` of anything this handle started, to be stopped and restarted.
* ``Cluster.attach(name)`` is a handle on a cluster that another process started (``ecoserve-devcluster up``).
* ``cluster.close()`` (also on leaving ``with``) ends what this handle started: the cluster, or what an attached
  handle added. ``cluster.stop()`` ends the cluster whoever started it. ``cluster.detach()`` lets the cluster and all
  that runs in it outlive this process, until ``ecoserve-devcluster down``.
* ``cluster.start_scheduler(name, config, kubeconfig=None)`` takes a ``KubeSchedulerConfiguration`` as a dict;
  ``clientConnection.kubeconfig`` is set to ``kubeconfig`` (default: the administrator's), leader election is off
  unless the config asks for it. Returns a ``Process``, ready.
* ``cluster.run(name, argv, environment={}, health_url=None, grace_seconds=5.0)`` runs any program as part of the
  cluster: it ends with it, its output goes to ``cluster.log(name)``. With a ``health_url`` (http, answers 200)
  it is waited for. Returns a ``Process``.
* ``Process``: ``.name``, ``.pid``, ``.log`` (Path), ``.port`` (schedulers: https on loopback), ``.running``,
  ``.stop()`` (SIGTERM, then SIGKILL), ``.kill()`` (SIGKILL), ``.restart()``, ``.tail(lines=20)``.
* ``cluster.create_namespace(name)`` returns the name once pods can be created in it.
* ``cluster.free_port()`` gives a loopback port that no other cluster's process will be given.
* ``cluster.name``, ``cluster.server`` (https URL), ``cluster.folder``, ``cluster.processes()``.
* ``binary("helm")`` is the Path of a binary, built on first use: ``kubectl``, ``kwok``, ``helm``,
  ``kind-config-check`` (argument: a kind-config.yaml; status 1 and a reason if kind or kubeadm would refuse it), ``etcd``, ``kube-apiserver``, ``kube-controller-manager``, ``kube-scheduler``.

As pytest fixtures (``pytest_plugins = ["ecoserve_devcluster.pytest_plugin"]`` in ``tests/conftest.py``):

* ``devcluster``: one empty ``Cluster`` for the whole session (short start-ups: 0.5 s model load, 5 s Jobs). Tests make
  a namespace of their own and nodes of their own names, and remove the nodes.
* ``fresh_devcluster``: ``fresh_devcluster(settings=…) -> Cluster``, stopped at the end of the test.
* ``binaries``: ``binaries("helm") -> Path``; builds what is missing, never skips.

Binaries lie in the user's cache folder (``ECOSERVE_CACHE`` moves it), running clusters in the user's state folder
(``ECOSERVE_STATE``).

Errors are ``DevclusterError`` (a component or a build failed; the message ends with the last lines of its log) and
``ecoserve.errors.InvalidInputError`` (a bad fleet file, an unknown name).
"""

from ecoserve_devcluster.build import binary
from ecoserve_devcluster.cluster import Cluster, ClusterSettings
from ecoserve_devcluster.errors import DevclusterError, KubectlError
from ecoserve_devcluster.fleet import apply_fleet
from ecoserve_devcluster.process import Process

__all__ = [
    "Cluster",
    "ClusterSettings",
    "DevclusterError",
    "KubectlError",
    "Process",
    "apply_fleet",
    "binary",
]
