"""Servers to be probed: what is right and what is wrong with each is what its name says."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Ca:
    """A CA that signs whatever is asked for."""

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def new_ca(name: str) -> Ca:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")]
    )
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=900)).not_valid_after(NOW + timedelta(days=900))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = builder.add_extension(usage, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return Ca(name, builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256()), key)


def leaf(folder: Path, ca: Ca | None, *names: str, days: tuple[int, int] = (-1, 90), send_ca: bool = True) -> Path:
    """A PEM file with key, certificate and (``send_ca``) the CA's; signed by itself without one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    issuer = ca.certificate.subject if ca else subject
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW + timedelta(days=days[0])).not_valid_after(NOW + timedelta(days=days[1]))
    found = [_general(name) for name in names]
    builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    if ca is not None:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
        builder = builder.add_extension(authority, critical=False)
    certificate = builder.sign(ca.key if ca else key, hashes.SHA256())
    file = folder / f"{x509.random_serial_number():x}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = certificate.public_bytes(serialization.Encoding.PEM)
    file.write_bytes(private + shown + (ca.pem.encode() if ca and send_ca else b""))
    return file


def _general(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(name))
    return x509.DNSName(name)


@contextmanager
def server(
    answer: bytes | None = OK, certificate: Path | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[int]:
    """Answers each request so; None: takes the connection and says nothing. Gives the port."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        if answer is None:
            held.append(connection)
            return
        with suppress(OSError), connection if context is None else context.wrap_socket(connection, True) as made:
            made.settimeout(10)
            if _whole_request(made):
                made.sendall(answer)

    held: list[socket.socket] = []
    with listening(serve, host, port) as taken:
        yield taken
        for connection in held:
            connection.close()


def _whole_request(made: socket.socket) -> bool:
    """Reads to the end of its head: closing with some of it unread would take the answer back from who asked.

    A client that wants TLS of a server without it is answered at once.
    """
    read = b""
    while b"\r\n\r\n" not in read and not read.startswith(b"\x16"):
        if not (more := made.recv(4096)):
            return False
        read += more
    return True


@contextmanager
def listening(serve: Callable[[socket.socket], None], host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Each connection to ``serve``, in a thread of its own."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port)))

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """``python -m tests.probe_servers``: HTTP servers ``[[host, port, certificate or null], …]`` from standard input.

    Says when they listen; they end with it.
    """
    with ExitStack() as stack:
        for host, port, certificate in json.loads(sys.stdin.readline()):
            stack.enter_context(server(certificate=Path(certificate) if certificate else None, host=host, port=port))
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
