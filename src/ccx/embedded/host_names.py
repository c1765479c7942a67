"""``ccx up --resolve``: this machine itself resolves the datastores' names, and everything else as before.

A small DNS server on the machine's own address in the instance's network knows where to ask for what. It becomes the
first of ``/etc/resolv.conf``, by a line that is marked as ours; on a machine with systemd-resolved, the server of one
link for one domain. While it is not there, the resolver goes on to the next.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from ccx.embedded.layout import USER, Layout
from ccx.embedded.part import Process
from ccx.embedded.shell import ToolFailed, run
from ccx.errors import CcxError

_RESOLV_CONF = Path("/etc/resolv.conf")
_NSSWITCH = Path("/etc/nsswitch.conf")
_RESOLVED = Path("/run/systemd/resolve")
_STUB = "127.0.0.53"


class HostNames:
    """The DNS server of this machine, in the host's namespace, as user ``ccx``."""

    name = "names"
    stop_signal = signal.SIGTERM
    stop_within = 5.0

    def __init__(self, layout: Layout, domain: str) -> None:
        self._layout = layout
        self._domain = domain

    async def start(self) -> Process:
        upstream = self._layout.run / "upstream.conf"
        upstream.write_text(_before(self._layout.instance))
        upstream.chmod(0o644)
        with (self._layout.logs / f"{self.name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
                "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", "--pdeathsig=TERM", "--",
                "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file", "--no-hosts",
                "--bind-interfaces", f"--listen-address={self._layout.host}", "--log-facility=-",
                f"--server=/{self._domain}/{self._layout.router}", f"--resolv-file={upstream}", "--cache-size=0",
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
            )  # fmt: skip

    async def ready(self) -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(str(self._layout.host), 53), 1)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def when_ready(self) -> None:
        """Tells this machine's resolver to ask it."""
        if _is_resolved():
            link = await _link(self._layout)
            await run("resolvectl", "dns", link, str(self._layout.host))
            await run("resolvectl", "domain", link, f"~{self._domain}")
        else:
            line = f"nameserver {self._layout.host} {_mark(self._layout.instance)}\n"
            _write(line + _before(self._layout.instance))


async def forget(layout: Layout) -> None:
    """This machine resolves names as it did before. Succeeds where it does already."""
    _forget_line(layout.instance)
    if _is_resolved():
        with suppress(CcxError):  # the link is gone, and with it what was set on it
            await run("resolvectl", "revert", await _link(layout))


def without_ours(text: str, instance: str) -> str:
    """``/etc/resolv.conf`` without the line of that instance."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.rstrip().endswith(_mark(instance)))


def _mark(instance: str) -> str:
    return f"# ccx up --resolve --instance {instance}"


def problem() -> CcxError | None:
    """What keeps this machine from being told, before anything is tried; None: nothing."""
    # What systemd-resolved writes for programs that ask its upstream servers themselves: it would overwrite our line.
    if _is_resolved() or _RESOLVED not in _RESOLV_CONF.resolve().parents:
        return None
    return CcxError(
        f"{_RESOLV_CONF} is systemd-resolved's own list of servers: programs here don't ask it, nor would they ask us",
        field="--resolve",
        remedy=f"ln -sf {_RESOLVED / 'stub-resolv.conf'} {_RESOLV_CONF}",
    )


def _is_resolved() -> bool:
    """Whether programs of this machine ask systemd-resolved: by its stub, or by its NSS module."""
    if not _RESOLVED.exists() or shutil.which("resolvectl") is None:
        return False
    return _STUB in nameservers(_read(_RESOLV_CONF)) or "resolve" in _sources(_read(_NSSWITCH))


def nameservers(text: str) -> list[str]:
    """Those of a ``resolv.conf``."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def _sources(nsswitch: str) -> list[str]:
    """Where this machine looks for hosts."""
    lines = (line.split() for line in nsswitch.splitlines())
    return next((words[1:] for words in lines if words and words[0] == "hosts:"), [])


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


async def _link(layout: Layout) -> str:
    """The link that has this machine's address in the instance's network. Raises :class:`ToolFailed`."""
    found = json.loads(await run("ip", "-j", "-4", "addr", "show", "to", f"{layout.host}/32") or "[]")
    names = [link["ifname"] for link in found if link.get("ifname")]
    if not names:
        raise ToolFailed(f"no link of this machine has {layout.host}")
    return str(names[0])


def _before(instance: str) -> str:
    return without_ours(_RESOLV_CONF.read_text(), instance)


def _forget_line(instance: str) -> None:
    if _RESOLV_CONF.exists() and _RESOLV_CONF.read_text() != (before := _before(instance)):
        _write(before)


def _write(text: str) -> None:
    """In place: the file may be bound into a container, or a link to one that somebody manages."""
    _RESOLV_CONF.write_text(text)
