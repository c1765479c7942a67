"""Certificates and SSH keys that we issue: the installation's CA, and one CA for each datastore. Pure functions."""

from ccx.pki.certificates import KeyPair, expires_at, issue, new_ca
from ccx.pki.ssh import new_ssh_key

__all__ = ["KeyPair", "expires_at", "issue", "new_ca", "new_ssh_key"]
