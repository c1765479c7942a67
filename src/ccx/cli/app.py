"""The command tree. What a command needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from ccx.cli.exits import Exit, code_of, table
from ccx.errors import CcxError

ENVIRONMENT = {
    "CCX_BASE_URL": "the control plane, before any context",
    "CCX_TOKEN": "bearer token, before any session",
    "CCX_CA_FILE": "CA that signs the control plane",
    "CCX_EGRESS_PROXY": "the egress proxy's URL with user and password, for: ccx network probe",
    "XDG_CONFIG_HOME": "where contexts are, in ccx/ (~/.config)",
    "NO_COLOR": "no colours",
}

EPILOGUE = "\n".join(
    ["Exit codes:", table(), "", "Environment:", *(f"  {name:<16} {meaning}" for name, meaning in ENVIRONMENT.items())]
)

_COMMANDS = {
    "ccx.cli.session:login": "Log in to a control plane, and remember it as the current context.",
    "ccx.cli.session:logout": "End the session, here and on the control plane. The context stays.",
    "ccx.cli.session:whoami": "Show who is logged in, and where.",
    "ccx.cli.completion:completion": "Print a shell's completion script.",
    "ccx.cli.up:up": "Start a control plane on this machine, and supervise it.",
    "ccx.cli.up:recover": "Rebuild a lost control plane from its copy, and start it.",
    "ccx.cli.up:down": "Stop it; the datastores' nodes go on.",
    "ccx.cli.up:status": "Show its parts and how they are.",
    "ccx.cli.up:serve": "Run roles of the control plane in this process.",
}
"""Single commands. The overview takes their summaries from here; each one's own help, from its docstring."""

_GROUPS = {
    "context": "The control planes that you work with.",
    "datastore": "Create, see, connect to, change and delete datastores.",
    "node": "The nodes of a datastore.",
    "job": "What is being done to a datastore, step by step.",
    "firewall": "Who may reach a datastore.",
    "database": "The databases in a datastore.",
    "user": "The database users of a datastore.",
    "token": "OAuth2 clients, for programs that call the API.",
    "cloud": "What exists on the clouds (operators).",
    "backup": "The backups of a datastore.",
    "storage": "The object stores that backups are kept in (operators).",
    "network": "The contract of every connection that leaves the system.",
    "mirror": "What stands in, inside the fence, for vendors' repositories.",
}
"""Each a module of its own, whose ``app`` it is."""


def build(*, overview: bool = False) -> App:
    """A fresh command tree. An ``overview`` is for the root's own help: it imports no command."""
    app = App(
        name="ccx",
        help="Databases as a service that live behind your firewall.",
        help_format="plaintext",
        help_epilogue=EPILOGUE,
        version=_version,
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(negative_iterable=(), show_default=_shown),
    )
    for name, summary in _GROUPS.items():
        app.command(f"ccx.cli.{name}:app", name=name, help=summary)
    for where, summary in _COMMANDS.items():
        alone = {"help": summary} if overview else {}
        app.command(where, name=where.rpartition(":")[2], help_epilogue="", **alone)
    return app


def _shown(default: Any) -> str | None:
    """How help shows a default: not at all when it means "not given"."""
    return None if default in ("", None, False) else str(default)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code. Nothing but :class:`SystemExit` of a command gets out."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = build(overview=set(tokens) <= {"--help", "-h"})(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()  # here, where a reader that has gone can be told from an error
    except CycloptsError as error:
        print(error, file=sys.stderr)
        print(f"See: {_help_of(tokens)}", file=sys.stderr)
        return Exit.USAGE
    except CcxError as error:
        print(error, file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        print("interrupted; what the control plane was asked for goes on", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough: `ccx … | head`
        # What is still buffered goes nowhere; from Python 3.13 on, closing would complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    return result if isinstance(result, int) else Exit.OK


def _help_of(tokens: Sequence[str]) -> str:
    """The help command next to what was typed."""
    known = {*_GROUPS, *(where.rpartition(":")[2] for where in _COMMANDS)}
    words = [token for token in tokens[:1] if token in known]
    return " ".join(["ccx", *words, "--help"])


def _version() -> str:
    from importlib.metadata import version

    return f"ccx {version('ccx')}"
