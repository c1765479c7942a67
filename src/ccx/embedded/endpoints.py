"""What installing on one machine downloads."""

from ccx.network import Direction, Plane, Protocol, declare

PYTHON_PACKAGES = declare(
    id="install.pypi",
    section=None,
    reason="A one-machine install takes its locked Python packages from PyPI; the specification knows Kubernetes only",
    host="pypi.org",
    ports=443,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.INSTALL,
    service="script/bootstrap",
    purpose="index of the locked Python packages",
    behind=("files.pythonhosted.org",),
    when_blocked="installing stops and names the package; set PIP_INDEX_URL to a mirror",
)
