"""Certificates hold in a real TLS handshake, and only where they should."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import asyncssh
import pytest
from cryptography import x509

from ccx.errors import Invalid
from ccx.pki import KeyPair, expires_at, issue, new_ca, new_ssh_key


def _handshake(tmp_path, ca: KeyPair, server: KeyPair, client: KeyPair | None, name: str) -> None:
    """Runs a handshake in memory; raises ssl.SSLError when either side refuses."""
    for label, text in {"ca": ca.certificate, "s": server.certificate + server.key}.items():
        (tmp_path / label).write_text(text)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca")
    serving.load_cert_chain(tmp_path / "s")
    calling = ssl.create_default_context(cafile=tmp_path / "ca")
    # Strict RFC 5280 checks are what newer Pythons and Go clients apply by default.
    for context in (serving, calling):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        serving.verify_mode = ssl.CERT_REQUIRED
        (tmp_path / "c").write_text(client.certificate + client.key)
        calling.load_cert_chain(tmp_path / "c")
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [calling.wrap_bio(a, b, server_hostname=name), serving.wrap_bio(b, a, server_side=True)]
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ends[0].write(b"hello")
    assert ends[1].read() == b"hello"


@pytest.fixture
def ca() -> KeyPair:
    return new_ca("ccx test")


def test_server_and_client_trust_each_other_through_the_ca(tmp_path, ca):
    node = issue(ca, "n1g1", ["n1g1.abc.db.example"], ["10.224.1.1"])
    for name in ("n1g1.abc.db.example", "10.224.1.1"):
        _handshake(tmp_path, ca, node, node, name)


def test_a_certificate_does_not_hold_for_another_name(tmp_path, ca):
    node = issue(ca, "n1g1", ["n1g1.abc.db.example"])
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path, ca, node, None, "n2g1.abc.db.example")


def test_a_client_of_another_datastores_ca_is_refused(tmp_path, ca):
    stranger = issue(new_ca("other"), "control", server=False)
    with pytest.raises(ssl.SSLError):
        _handshake(tmp_path, ca, issue(ca, "n", ["n.example"]), stranger, "n.example")


def test_a_client_only_certificate_can_not_serve(tmp_path, ca):
    with pytest.raises(ssl.SSLError):
        _handshake(tmp_path, ca, issue(ca, "control", ["n.example"], server=False), None, "n.example")


def test_a_leaf_can_not_sign(tmp_path, ca):
    leaf = issue(ca, "n", ["n.example"])
    forged = issue(leaf, "evil", ["evil.example"])
    chained = KeyPair(forged.certificate + leaf.certificate, forged.key)
    with pytest.raises(ssl.SSLError):
        _handshake(tmp_path, ca, chained, None, "evil.example")


def test_a_leaf_never_outlives_its_ca():
    ca = new_ca("short", timedelta(days=10))
    assert expires_at(issue(ca, "n", valid=timedelta(days=365)).certificate) == expires_at(ca.certificate)


def test_expiry_is_what_was_asked_for(ca):
    left = expires_at(issue(ca, "n", valid=timedelta(days=30)).certificate) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    with pytest.raises(Invalid):
        expires_at("no certificate")


def test_serial_numbers_differ_and_keys_are_never_printed(ca):
    pairs = [issue(ca, "n") for _ in range(3)]
    serials = {x509.load_pem_x509_certificate(p.certificate.encode()).serial_number for p in pairs}
    assert len(serials) == 3
    assert "PRIVATE" not in repr(pairs)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_common_name_that_x509_can_not_hold_is_refused(ca, name):
    with pytest.raises(Invalid, match="common name"):
        issue(ca, name)


def test_an_ssh_key_is_understood_by_an_ssh_library():
    private, public = new_ssh_key()
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert asyncssh.import_private_key(private).export_public_key().decode().split()[:2] == public.split()[:2]
    assert public.startswith("ssh-ed25519 AAAA")
