"""TLS to a datastore's nodes: its CA is trusted and nothing else, and we show the certificate it gave us."""

from __future__ import annotations

import os
import ssl

from ccx.cmon.spec import KeyPair


def client_context(ca: str, pair: KeyPair) -> ssl.SSLContext:
    """A context that verifies servers against ``ca`` alone and authenticates with ``pair``. The key touches no disk."""
    context = ssl.create_default_context(cadata=ca)
    # Python's ssl reads keys from files only; this one is memory, and gone when the context has read it.
    handle = os.memfd_create("ccx-client-key", os.MFD_CLOEXEC)
    try:
        os.write(handle, f"{pair.certificate}\n{pair.key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return context
