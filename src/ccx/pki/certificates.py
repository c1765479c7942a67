"""X.509 on EC P-256: a CA that may sign leaves only, and leaves for servers and clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ccx.errors import Invalid

# Nodes' clocks may be behind ours when they first see a certificate.
_CLOCK_SKEW = timedelta(minutes=5)
_LONGEST_COMMON_NAME = 64  # RFC 5280, ub-common-name


@dataclass(frozen=True, repr=False)
class KeyPair:
    """A certificate and its private key (PKCS #8), PEM. Never printed: no repr."""

    certificate: str
    key: str


def new_ca(common_name: str, valid: timedelta = timedelta(days=3650)) -> KeyPair:
    """A self-signed CA that signs leaves only (path length 0)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = (
        _builder(name, name, key.public_key(), valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, SHA256()), key)


def issue(
    ca: KeyPair,
    common_name: str,
    dns_names: Iterable[str] = (),
    addresses: Iterable[str] = (),
    valid: timedelta = timedelta(days=365),
    client: bool = True,
    server: bool = True,
) -> KeyPair:
    """A certificate signed by ``ca``. Never outlives it. ``client`` and ``server`` say what it may be used for."""
    issuer = x509.load_pem_x509_certificate(ca.certificate.encode())
    signer = load_pem_private_key(ca.key.encode(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise Invalid("the CA's key is no EC key", remedy="Give a CA with an EC P-256 key")
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    if not usages:
        raise Invalid("a certificate for neither servers nor clients is of no use")
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys(dns_names)]
    names += [x509.IPAddress(ip_address(address)) for address in dict.fromkeys(addresses)]
    builder = (
        _builder(_name(common_name), issuer.subject, key.public_key(), valid, not_after=issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _pair(builder.sign(signer, SHA256()), key)


def expires_at(pem: str) -> datetime:
    """When the (first) certificate in ``pem`` stops being valid, UTC. Raises Invalid for what is no certificate."""
    try:
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    except ValueError:
        raise Invalid("this is no PEM certificate", remedy="Give the text between BEGIN and END CERTIFICATE") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    valid: timedelta,
    not_after: datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + valid
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(min(end, not_after) if not_after else end)
    )


def _name(common_name: str) -> x509.Name:
    if not 1 <= len(common_name) <= _LONGEST_COMMON_NAME:
        raise Invalid(
            f"a certificate's common name has 1 to {_LONGEST_COMMON_NAME} characters: {common_name!r} has not",
            remedy="Give a short common name; the full host name belongs into the DNS names",
        )
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate=certificate.public_bytes(Encoding.PEM).decode(),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )
