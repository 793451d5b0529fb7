"""What can go wrong in the development cluster, beyond bad input."""

from ecoserve.errors import EcoserveError


class DevclusterError(EcoserveError):
    """A component, a build or an installation failed; the message ends with what to do or the last log lines."""


class PortTakenError(DevclusterError):
    """Another program bound a port between its choice and the component's start."""


class KubectlError(DevclusterError):
    """kubectl ended with an error; the message is what it wrote to stderr."""
