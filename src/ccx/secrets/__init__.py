"""Secrets at rest: sealed with keys that live outside the database, so that a stolen dump opens nothing.

``KeyRing`` holds the keys, ``Vault`` the sealed values, by scope (``datastore:<uuid>``) and name.
"""

from ccx.secrets.keys import KeyRing
from ccx.secrets.password import new_password
from ccx.secrets.recovery import export_recovery, import_recovery
from ccx.secrets.vault import Vault

__all__ = ["KeyRing", "Vault", "export_recovery", "import_recovery", "new_password"]
