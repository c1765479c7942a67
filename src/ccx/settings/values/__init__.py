"""What operators already have: Helm values files, ``ccx.yaml`` and the environment, read into :class:`Settings`."""

from ccx.settings.values.findings import Finding
from ccx.settings.values.read import Given, read

__all__ = ["Finding", "Given", "read"]
