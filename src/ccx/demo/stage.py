"""How the demonstration talks: headings, the commands that it runs, what it expects, and the table at the end."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

INSTANCE = "demo"
NAME = "orders"
"""Of the datastore."""
CCX = str(Path(sys.executable).with_name("ccx"))


class Unexpected(Exception):
    """An expectation of the demonstration failed; says which."""


class Stage:
    """Runs commands in view of the audience, and keeps what was done and how long it took.

    ``home``: where its ``ccx`` keeps its contexts.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        # In a file, lines are as long as they need to be.
        self.console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        self.done: list[tuple[str, float, str]] = []
        self._environment = {**os.environ, "XDG_CONFIG_HOME": str(home)}

    @property
    def recovery(self) -> tuple[str, ...]:
        """Where the recovery copy of the control plane's key is, and its passphrase, as options of commands."""
        return "--recovery-file", str(self.home / "recovery"), "--passphrase-file", str(self.home / "passphrase")

    def secret(self, name: str) -> Path:
        """A new secret, in a file that is its owner's alone."""
        file = self.home / name
        file.touch(0o600)
        file.write_text(f"{secrets.token_urlsafe(16)}\n")
        return file

    @contextmanager
    def scene(self, title: str) -> Iterator[dict[str, str]]:
        """A part with a heading and a time. Put its outcome into the yielded mapping's ``outcome``."""
        self.console.print(f"\n[bold]── {title}[/bold]")
        begun, said = time.monotonic(), {"outcome": ""}
        yield said
        self.done.append((title, time.monotonic() - begun, said["outcome"]))

    def say(self, text: str) -> None:
        self.console.print(f"   {escape(text)}", soft_wrap=True)

    def run(self, *arguments: str) -> None:
        """Runs ``ccx`` with its output in view. Raises Unexpected for any exit code but 0."""
        self.console.print(f"   [dim]$ ccx {escape(shlex.join(arguments))}[/dim]", soft_wrap=True)
        code = subprocess.run([CCX, *arguments], env=self._environment, check=False).returncode
        if code != 0:
            raise Unexpected(f"ccx {shlex.join(arguments)} ended with exit code {code}")

    def ask(self, *arguments: str) -> Any:
        """Runs ``ccx … --output json`` out of view, and returns what it answered."""
        ran = subprocess.run(
            [CCX, *arguments, "--output", "json"], env=self._environment, capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise Unexpected(f"ccx {shlex.join(arguments)}: {ran.stderr.strip()}")
        return json.loads(ran.stdout)

    def expect(self, holds: bool, what: str) -> None:
        """Says that ``what`` holds, or ends the demonstration with it."""
        if not holds:
            raise Unexpected(what)
        self.console.print(f"   [green]✓[/green] {escape(what)}", soft_wrap=True)

    def table(self) -> None:
        """What was done, and how long each part took."""
        table = Table(title="What was done", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("part")
        table.add_column("seconds", justify="right")
        table.add_column("outcome")
        for title, seconds, outcome in self.done:
            table.add_row(title, f"{seconds:.1f}", outcome)
        self.console.print()
        self.console.print(table)


def until(condition: Callable[[], str | None], *, within: float, what: str) -> None:
    """Waits until ``condition`` finds nothing missing. Unexpected, with what it found last, after ``within`` s."""
    deadline = time.monotonic() + within
    while (missing := condition()) is not None:
        if time.monotonic() > deadline:
            raise Unexpected(f"{what}: after {within:.0f} s, {missing}")
        time.sleep(0.5)
