"""What is known about running clusters, on disk, so that other processes find them and wrecks can be cleared.

Each cluster has a folder with a `state.json`. A process is identified by its id *and* its start time: an id alone may
belong to a stranger by the time it is read. A folder whose supervisor no longer runs is a wreck: whatever of its
processes still runs is killed and the folder removed. Changes are read-modify-write under a file lock, because a
process that attaches to a cluster adds its own entries.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator

import msgspec
import psutil
from filelock import FileLock

from ecoserve.errors import UnknownNameError
from ecoserve_devcluster.paths import cluster_folder, clusters_folder

_FILE = "state.json"


class ProcessIdentity(msgspec.Struct, frozen=True):
    """One process on this machine; `started` is the start time that the operating system tells."""

    name: str
    pid: int
    started: float

    @classmethod
    def of(cls, name: str, pid: int) -> "ProcessIdentity":
        """Identify the process that has this id now; one that has just ended gets a start time nothing matches."""
        try:
            return cls(name, pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return cls(name, pid, 0.0)

    def find(self) -> psutil.Process | None:
        """Return the process if it still runs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    @property
    def runs(self) -> bool:
        """Whether the process still runs."""
        return self.find() is not None


class ClusterState(msgspec.Struct, frozen=True):
    """A cluster as its folder tells it; `supervisor` is missing until there is one."""

    name: str
    created: float
    starter: ProcessIdentity
    supervisor: ProcessIdentity | None = None
    detached: bool = False
    server: str = ""
    ports: tuple[int, ...] = ()
    processes: tuple[ProcessIdentity, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether the cluster runs, or is being started by a process that still runs."""
        return (self.supervisor or self.starter).runs

    def with_process(self, identity: ProcessIdentity) -> "ClusterState":
        """Return the state with `identity` instead of any process of the same name."""
        others = tuple(each for each in self.processes if each.name != identity.name)
        return msgspec.structs.replace(self, processes=(*others, identity))

    def with_ports(self, ports: tuple[int, ...]) -> "ClusterState":
        """Return the state with more reserved ports."""
        return msgspec.structs.replace(self, ports=(*self.ports, *ports))


@contextlib.contextmanager
def registry_lock() -> Iterator[None]:
    """Hold the one lock under which clusters come, go and choose ports."""
    with FileLock(clusters_folder() / ".lock"):
        yield


def read(name: str) -> ClusterState | None:
    """Return the state of a cluster, `None` if there is none or its folder is not readable as one."""
    try:
        return msgspec.json.decode((cluster_folder(name) / _FILE).read_bytes(), type=ClusterState)
    except (OSError, msgspec.MsgspecError):
        return None


def write(state: ClusterState) -> None:
    """Write a state so that readers see the old one or the new one, whole."""
    folder = cluster_folder(state.name)
    folder.mkdir(mode=0o700, exist_ok=True)
    side = folder / f".{_FILE}.{os.getpid()}"
    side.write_bytes(msgspec.json.encode(state))
    side.replace(folder / _FILE)


def update(name: str, change: Callable[[ClusterState], ClusterState]) -> ClusterState:
    """Change a cluster's state; raise `UnknownNameError` if the cluster is gone."""
    with registry_lock():
        changed = change(require(name))
        write(changed)
        return changed


def require(name: str) -> ClusterState:
    """Return the state of a cluster that runs; raise `UnknownNameError` if there is none of that name."""
    state = read(name)
    if state is None or not state.alive:
        raise UnknownNameError("cluster", name, (each.name for each in running()))
    return state


def names() -> list[str]:
    """Return the names of all cluster folders, wrecks included."""
    return sorted(each.name for each in clusters_folder().iterdir() if each.is_dir())


def running() -> list[ClusterState]:
    """Return the states of the clusters that run, by name."""
    states = (read(name) for name in names())
    return [state for state in states if state is not None and state.alive]


def clear_wrecks() -> list[str]:
    """Remove what crashed clusters left, under the registry lock; return their names."""
    wrecks = [name for name in names() if (state := read(name)) is None or not state.alive]
    for name in wrecks:
        remove(name)
    return wrecks


def remove(name: str) -> None:
    """Kill what still runs of a cluster and remove its folder."""
    state = read(name)
    if state is not None:
        end([*state.processes, *([state.supervisor] if state.supervisor else [])], grace_seconds=0)
    shutil.rmtree(cluster_folder(name), ignore_errors=True)


def end(identities: list[ProcessIdentity], grace_seconds: float) -> None:
    """End processes: SIGTERM, `grace_seconds` to go, then SIGKILL; return when they are gone."""
    processes = [process for each in identities if (process := each.find())]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate() if grace_seconds else process.kill()
    _, left = psutil.wait_procs(processes, timeout=grace_seconds or 5)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def new(name: str) -> ClusterState:
    """Return the state of a cluster that this process is about to start."""
    return ClusterState(name, time.time(), ProcessIdentity.of("starter", os.getpid()))


def stop(name: str, grace_seconds: float = 15.0) -> None:
    """End a running cluster, whoever started it, and remove its folder; raise `UnknownNameError` if there is none."""
    found = require(name)
    # The supervisor ends what it started; what other processes added is ended after it.
    end([found.supervisor or found.starter], grace_seconds)
    end(list(found.processes), grace_seconds)
    with registry_lock():
        remove(name)
