"""The binaries of a development cluster: what they are, and where they lie once built.

Each is a frozen value that knows how Go builds it. A built binary lies in the cache under its name, its version and a
hash of everything that went into it, so that changing a Go file or a flag builds anew and nothing ever goes stale.
"""

import hashlib
import platform
from dataclasses import dataclass, field
from pathlib import Path

from ecoserve.errors import UnknownNameError
from ecoserve_devcluster.paths import cache_folder

KUBERNETES_VERSION = "1.36.3"
_MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True)
class Binary:
    """One Go program: of a module of this package (`module`), or a published package (`package`), or both.

    A published package that can't be installed by itself, as its own module replaces others, is a tool of a module here.
    """

    name: str
    version: str
    module: str = ""  # folder under go/
    package: str = ""  # import path, installed at `v{version}` where there is no module
    variables: tuple[str, ...] = ()  # what the linker sets, `path.name=value`
    commands: tuple[str, ...] = ()  # names that it answers to besides its own
    tags: str = field(default="", repr=False)  # build tags; the fingerprint takes them apart from the rest

    @property
    def folder(self) -> Path:
        """The cache folder that holds the binary once it is built."""
        return cache_folder() / f"{self.name}-{self.version}-{self._fingerprint()}"

    @property
    def built(self) -> bool:
        """Whether the binary lies in the cache."""
        return (self.folder / self.name).exists()

    @property
    def module_folder(self) -> Path:
        """The folder of the Go module that is built."""
        return _MODULES / self.module

    def go_arguments(self, output: Path) -> list[str]:
        """Return the arguments for `go` that put the binary into the folder `output`.

        `-v` makes Go name each package as it is compiled, which is the only progress it tells.
        """
        linked = " ".join(["-s -w", *(f"-X {variable}" for variable in self.variables)])
        common = ["-v", "-trimpath", "-buildvcs=false", "-tags", self.tags, "-ldflags", linked]
        if self.module:
            return ["build", *common, "-o", str(output / self.name), self.package or "."]
        return ["install", *common, f"{self.package}@v{self.version}"]

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self, platform.system(), platform.machine())).encode())
        digest.update(self.tags.encode())
        if self.module:
            for file in sorted(self.module_folder.iterdir()):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:12]


CONTROL_PLANE = Binary(
    "control-plane",
    KUBERNETES_VERSION,
    module="control-plane",
    variables=(
        f"k8s.io/component-base/version.gitVersion=v{KUBERNETES_VERSION}",
        "k8s.io/component-base/version.gitMajor=1",
        "k8s.io/component-base/version.gitMinor=36",
    ),
    commands=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"),
)
KWOK = Binary("kwok", "0.8.0", package="sigs.k8s.io/kwok/cmd/kwok")
HELM = Binary(
    "helm",
    "4.3.1",
    package="helm.sh/helm/v4/cmd/helm",
    variables=("helm.sh/helm/v4/internal/version.version=v4.3.1",),
)
KIND_CONFIG_CHECK = Binary("kind-config-check", "0.33.0", module="kind-config-check")
_PROMETHEUS = "github.com/prometheus/prometheus/cmd"
_STATIC = "remove_all_sd"  # no discovery by the APIs of clouds, whose libraries are most of what there is to compile
PROMETHEUS = Binary(
    "prometheus", "3.13.0", module="prometheus", package=f"{_PROMETHEUS}/prometheus", tags=_STATIC
)
PROMTOOL = Binary("promtool", "3.13.0", module="prometheus", package=f"{_PROMETHEUS}/promtool", tags=_STATIC)
METRICS_SERVER = Binary("metrics-server", "0.9.0", package="sigs.k8s.io/metrics-server/cmd/metrics-server")

ALL = (CONTROL_PLANE, KWOK, HELM, KIND_CONFIG_CHECK, PROMETHEUS, PROMTOOL, METRICS_SERVER)
"""Every binary, what every cluster needs first."""

_BY_COMMAND = {command: each for each in ALL for command in (*each.commands, each.name)}


def find(command: str) -> Binary:
    """Return the binary that answers to `command`, whether it is built or not.

    Raises `UnknownNameError` if there is none.
    """
    if command not in _BY_COMMAND:
        raise UnknownNameError("binary", command, _BY_COMMAND, shown=len(_BY_COMMAND))
    return _BY_COMMAND[command]
