"""The commands that run a control plane on this machine: ``up``, ``down``, ``status``, ``serve``."""

from __future__ import annotations

import asyncio
import getpass
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ccx.cli.options import Output
from ccx.errors import CcxError, Invalid


def up(
    *,
    instance: str = "default",
    detach: bool = False,
    subnet: str | None = None,
    listen: str | None = None,
    resolve: bool | None = None,
    change: Annotated[list[str] | None, Parameter("--set")] = None,
    image: Literal["baked", "stock"] | None = None,
    recovery_file: Path | None = None,
    passphrase_file: Path | None = None,
) -> int:
    """Start a control plane on this machine, and supervise it until it is told to stop.

    The first start makes the instance: its keys and settings in /etc/ccx/INSTANCE, its data in /var/lib/ccx/INSTANCE.
    Later ones go on with what is there. Must be root.

    Try:

        ccx up --detach

        ccx up --instance try --listen 127.0.0.1:8443 --subnet 10.230.0.0/20

        ccx up --detach --image stock

        ccx up --detach --recovery-file /media/safe/ccx.recovery

    Parameters
    ----------
    instance:
        Name of the instance; several run beside each other.
    detach:
        Return when it is healthy, and leave it running.
    subnet:
        A free IPv4 /20 for control plane and nodes; chosen by itself at the first start.
    listen:
        Address and port of the public HTTPS listener (0.0.0.0:443 at first, then what it was).
    resolve:
        Let this machine itself resolve the datastores' names.
    change:
        Change a setting in ccx.yaml, for good: --set auto_repair.delay=60. May be repeated.
    image:
        What the local cloud's nodes start from, for good: baked (all packages inside), or stock (they install them
        from a mirror, as on other clouds).
    recovery_file:
        Write a copy of the wrapping key there, under a passphrase. Without that key, no secret can be read again.
    passphrase_file:
        Read the passphrase from this file's first line, instead of asking for it.
    """
    from ccx.embedded import preflight

    layout = preflight.claim(instance, wanted_subnet=subnet, listen=listen, resolve=resolve)
    passphrase = _passphrase(passphrase_file) if recovery_file is not None else None
    _say(f"instance {instance!r}: {layout.etc}, {layout.var}, {layout.subnet}")

    from ccx.embedded import prepare  # imports much: what is in the way has been said by now

    command = prepare.instance(layout, change or (), _say, image)
    if recovery_file is not None and passphrase is not None:
        prepare.export_recovery(layout, recovery_file, passphrase)
        _say(f"recovery copy of the wrapping key: {recovery_file}; keep it, and the passphrase, elsewhere")
    if not detach:
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606 - the supervisor imports little and stays
    return _detached(command)


def recover(
    *,
    recovery_file: Path,
    passphrase_file: Path | None = None,
    instance: str = "default",
    settings: Path | None = None,
    detach: bool = False,
    listen: str | None = None,
    resolve: bool | None = None,
    change: Annotated[list[str] | None, Parameter("--set")] = None,
) -> int:
    """Rebuild a lost control plane on this machine from its copy in the object store, and start it.

    Its datastores go on meanwhile, and are not touched. A control plane of before that still runs stops by itself. One
    that was broken off can be run again. Must be root.

    Try:

        ccx recover --recovery-file /media/safe/ccx.recovery --settings ccx.yaml --detach

        ccx recover --instance try --recovery-file ccx.recovery --passphrase-file /dev/stdin --detach

    Parameters
    ----------
    recovery_file:
        The recovery copy of the wrapping key; /dev/stdin works, too.
    passphrase_file:
        Read its passphrase from this file's first line, instead of asking for it.
    instance:
        Name of the lost instance.
    settings:
        A ccx.yaml that says where the object store is. Without, the folder s3 in /var/lib/ccx/INSTANCE on this machine.
    detach:
        Return when it is healthy, and leave it running.
    listen:
        Address and port of the public HTTPS listener, if another one than it was.
    resolve:
        Let this machine itself resolve the datastores' names.
    change:
        Change a setting in ccx.yaml, for good, as "ccx up" does.
    """
    from ccx.embedded import preflight

    preflight.check_name(instance)
    preflight.check_machine()
    try:
        text = recovery_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"can't read {recovery_file}: {error}", field="--recovery-file") from None
    passphrase = _passphrase(passphrase_file, again=False)

    from ccx.embedded.recover import recover as rebuilt
    from ccx.secrets import import_recovery

    rebuilt(instance, import_recovery(text, passphrase), settings, _say)
    return up(instance=instance, detach=detach, listen=listen, resolve=resolve, change=change)


def down(*, instance: str = "default", purge: bool = False) -> None:
    """Stop the control plane; the datastores' nodes go on.

    Try:

        ccx down

        ccx down --instance try --purge

    Parameters
    ----------
    instance:
        Name of the instance.
    purge:
        Remove the instance for good, too: nodes, volumes, data, keys and settings. Works after a crash as well.
    """
    from ccx.embedded import stop

    asyncio.run(stop.down(instance, purge=purge, say=_say))


def status(
    *,
    instance: str = "default",
    output: Annotated[Output, Parameter(name=["--output", "-o"], help="How the result is printed.")] = Output.TABLE,
) -> int:
    """Show the parts of the control plane on this machine.

    Exits with 0 when every part is ready, else with 1.

    Try:

        ccx status

        ccx status --instance try

        ccx status --output json

    Parameters
    ----------
    instance:
        Name of the instance.
    """
    from ccx.cli.output import document
    from ccx.embedded.status import look, table

    found = look(instance)
    print(table(found)) if output is Output.TABLE else document(found, output)
    return 0 if found["ready"] else 1


def serve(*roles: str, instance: str = "default", sockets: Annotated[str, Parameter(show=False)] = "") -> int:
    """Run roles of the control plane in this process: rest, runner, state. All of them when none is named.

    "ccx up" does this for you. By hand, or with a supervisor of your own, it reads /etc/ccx/INSTANCE/ccx.yaml.

    Try:

        ccx serve rest --instance try

    Parameters
    ----------
    roles:
        What to run.
    instance:
        Name of the instance.
    """
    from ccx.embedded.serve import run

    return run(instance, roles, sockets)


def _detached(command: list[str]) -> int:
    """Starts the supervisor in a session of its own, and shows what it says until it is ready, or gave up."""
    with subprocess.Popen(
        [*command, "--detached"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, cwd="/"
    ) as supervisor:
        assert supervisor.stdout is not None, "a pipe was asked for"
        for line in supervisor.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
        try:
            return supervisor.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            supervisor.returncode = 0  # it stays; we don't wait for it
            return 0


def _passphrase(file: Path | None, *, again: bool = True) -> str:
    if file is not None:
        try:
            return file.read_text().splitlines()[0]
        except (OSError, IndexError, UnicodeDecodeError) as error:
            raise Invalid(f"can't read a passphrase from {file}: {error}", field="--passphrase-file") from None
    if not sys.stdin.isatty():
        raise CcxError("there is no terminal to ask for a passphrase", remedy="Give --passphrase-file", status=422)
    first = getpass.getpass("Passphrase of the recovery copy: ")
    if again and getpass.getpass("Again: ") != first:
        raise Invalid("the two passphrases differ", field="--recovery-file", remedy="Start again")
    return first


def _say(text: str) -> None:
    print(text, flush=True)
