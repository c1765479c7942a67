"""Which clouds have credentials: variables ``<CODE>_...``, and Kubernetes Secrets, of which we know the names only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ccx.settings.codes import prefix
from ccx.settings.values.findings import Findings
from ccx.settings.values.tree import Tree

# What makes a variable a cloud's credential, by the type of the cloud. An address alone is none.
_SUFFIXES = {
    "openstack": ("USERNAME", "PASSWORD", "APPLICATION_CREDENTIAL_ID", "APPLICATION_CREDENTIAL_SECRET"),
    "vmware": ("ESX_USERNAME", "ESX_PASSWORD"),
    "vcd": ("ESX_USERNAME", "ESX_PASSWORD"),
    "cloudstack": ("CLOUDSTACK_API_KEY", "CLOUDSTACK_API_SECRET_KEY", "CLOUDSTACK_SECRET_KEY"),
    "zadara": ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "USERNAME", "PASSWORD"),
}
_BY_ROLE = {"aws": "AWS_", "gcp": "GCP_"}
_GENERIC = {"ccx", "cloud", "clouds", "credential", "credentials", "creds", "deployer", "env", "secret", "secrets",
            "vendor", "vendors"}  # fmt: skip


class Secrets:
    """The credentials that the settings and the environment name. Values are looked at, never kept."""

    def __init__(self, tree: Tree, environ: Mapping[str, str]) -> None:
        self._tree = tree
        self._chart = tree.map("ccx.env")
        self._environ = environ
        self._names = [str(name) for name in tree.list("ccx.cloudSecrets")]

    def text(self, code: str, suffix: str) -> str:
        """The value of ``<CODE>_<suffix>``; empty when it is unset or in a Secret."""
        name = f"{prefix(code)}_{suffix}"
        value = self._environ.get(name) or self._chart.get(name) or ""
        return value if isinstance(value, str) else ""

    def where(self, code: str, suffix: str) -> str:
        """Where that variable was set; empty when it is not."""
        name = f"{prefix(code)}_{suffix}"
        if self._environ.get(name):
            return f"environment: {name}"
        return self._tree.where(f"ccx.env.{name}") if self._chart.get(name) else ""

    def check(self, code: str, type_: str, field: str, findings: Findings) -> None:
        """Refuses a cloud that has no credentials; warns where a Secret may hold them, or a role may stand in."""
        if type_ in ("local", "simulated") or self._in_environment(code, type_) or self._named(code, type_):
            return
        listed = ", ".join(self._names) or "none"
        if type_ in _BY_ROLE:
            findings.warn(field, f"no {_BY_ROLE[type_]}* variable and no Secret is for the cloud {code!r}",
                          "Add its Secret to ccx.cloudSecrets, unless the machine has a role")  # fmt: skip
        elif any(_words(name) <= _GENERIC for name in self._names):
            findings.warn(field, f"a Secret of ccx.cloudSecrets ({listed}) may hold {prefix(code)}_*, or may not",
                          f"Look for {prefix(code)}_{_SUFFIXES[type_][0]}: kubectl describe secret")  # fmt: skip
        else:
            findings.refuse(
                field, f"no secret is for the cloud {code!r}: no variable {prefix(code)}_{_SUFFIXES[type_][0]}, and of "
                f"ccx.cloudSecrets ({listed}) none is called after it",
                f"Add a Secret called {code.lower()} to ccx.cloudSecrets, or correct the cloud's code",
            )  # fmt: skip

    def _in_environment(self, code: str, type_: str) -> bool:
        if type_ in _BY_ROLE:
            return any(name.startswith(_BY_ROLE[type_]) for name in (*self._environ, *self._chart))
        names = (f"{prefix(code)}_{suffix}" for suffix in _SUFFIXES[type_])
        return any(self._environ.get(name) or self._chart.get(name) for name in names)

    def _named(self, code: str, type_: str) -> bool:
        wanted = {_plain(code), _plain(type_)}
        return any(word in _plain(name) for name in self._names for word in wanted)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower())) - {""}
