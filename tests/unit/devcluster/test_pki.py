import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ecoserve_devcluster.pki import Authority, write_kubeconfig


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "pki", "test")


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def values(certificate, oid):
    return [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]


def test_a_client_certificate_names_the_user_and_the_groups_and_is_signed_by_the_authority(authority):
    certificate = load(authority.client("admin", "somebody", ("system:masters", "others")).certificate)
    certificate.verify_directly_issued_by(load(authority.certificate))
    assert values(certificate, NameOID.COMMON_NAME) == ["somebody"]
    assert values(certificate, NameOID.ORGANIZATION_NAME) == ["system:masters", "others"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_no_certificate_may_sign_others(authority):
    certificate = load(authority.serving("serving").certificate)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_two_authorities_do_not_vouch_for_each_other(authority, tmp_path):
    other = Authority(tmp_path / "other", "test")
    certificate = load(authority.serving("serving").certificate)
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(load(other.certificate))


def test_keys_and_kubeconfigs_are_readable_to_their_user_only(authority, tmp_path):
    pairs = [authority.serving("serving"), authority.signing_key("accounts")]
    kubeconfig = write_kubeconfig(
        tmp_path / "kubeconfigs" / "admin.yaml",
        "demo",
        "https://127.0.0.1:1",
        authority.certificate,
        token="secret",
    )
    for path in (*(pair.key for pair in pairs), kubeconfig):
        assert path.stat().st_mode & 0o077 == 0
    content = yaml.safe_load(kubeconfig.read_text())
    assert content["current-context"] == "demo"
    assert content["users"] == [{"name": "admin", "user": {"token": "secret"}}]
