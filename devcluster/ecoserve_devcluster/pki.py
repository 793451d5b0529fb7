"""A certificate authority per cluster, the certificates of its components and kubeconfig files.

Everything speaks TLS and proves who it is by a client certificate, as a kubeadm cluster does, so that RBAC decides for
every component. Keys are P-256: made in microseconds. They live in the cluster's folder, readable to its user
only, and are gone with it.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=365)
_SERVICE_ADDRESS = "10.96.0.1"  # the first address of the service range: `kubernetes.default`
_HOST_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ADDRESSES = ("127.0.0.1", _SERVICE_ADDRESS)

SERVICE_RANGE = "10.96.0.0/16"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates into one folder; its own certificate is `ca.crt`."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _distinguished_name(f"{name}-ca", ())
        self.certificate = folder / "ca.crt"
        extensions = [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (_key_usage(certificate_sign=True), True),
        ]
        self.certificate.write_bytes(self._signed(self._name, self._key.public_key(), extensions))

    def serving(self, name: str) -> Pair:
        """Make a certificate that servers on loopback show, and with which etcd's peers also call each other."""
        names: list[x509.GeneralName] = [x509.DNSName(each) for each in _HOST_NAMES]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in _ADDRESSES]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(name, name, (), [(x509.SubjectAlternativeName(names), False)], usage)

    def client(self, name: str, user: str, groups: tuple[str, ...] = ()) -> Pair:
        """Make a certificate that Kubernetes takes for `user`, a member of `groups`."""
        return self._issue(name, user, groups, [], [ExtendedKeyUsageOID.CLIENT_AUTH])

    def signing_key(self, name: str) -> Pair:
        """Make the key pair of service account tokens; the `certificate` is the bare public key."""
        key = ec.generate_private_key(ec.SECP256R1())
        pair = Pair(self._folder / f"{name}.pub", self._folder / f"{name}.key")
        pair.certificate.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        _write_key(pair.key, key)
        return pair

    def _issue(
        self,
        file_name: str,
        common_name: str,
        organizations: tuple[str, ...],
        extensions: list[tuple[x509.ExtensionType, bool]],
        usage: list[x509.ObjectIdentifier],
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        pair = Pair(self._folder / f"{file_name}.crt", self._folder / f"{file_name}.key")
        subject = _distinguished_name(common_name, organizations)
        common = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(certificate_sign=False), True),
            (x509.ExtendedKeyUsage(usage), False),
        ]
        pair.certificate.write_bytes(self._signed(subject, key.public_key(), [*common, *extensions]))
        _write_key(pair.key, key)
        return pair

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extensions: list[tuple[Any, bool]],
    ) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(minutes=5),
            not_valid_after=now + _LIFETIME,
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def write_kubeconfig(
    path: Path, cluster: str, server: str, authority: Path, *, pair: Pair | None = None, token: str = ""
) -> Path:
    """Write a kubeconfig for a client certificate or a bearer token; return its path.

    Certificates and keys are named, not embedded: the Python client unpacks embedded ones into temporary files, which
    a crash would leave behind.
    """
    user = (
        {"token": token}
        if pair is None
        else {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    )
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": server, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": path.stem, "user": user}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": path.stem}}],
        "current-context": cluster,
    }
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _distinguished_name(common_name: str, organizations: tuple[str, ...]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
