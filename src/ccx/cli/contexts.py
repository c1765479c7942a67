"""The control planes that a person works with: ``~/.config/ccx/config.yaml``, readable by its owner only.

``CCX_BASE_URL``, ``CCX_TOKEN`` (a bearer token) and ``CCX_CA_FILE`` come before the file: scripts need none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ccx.errors import Invalid, NotFound, Unauthenticated


@dataclass(frozen=True)
class Context:
    """One control plane, and who we are there."""

    url: str
    ca_file: str = ""
    """PEM file of the CA that signs the control plane's certificate; empty: the system's CAs."""
    login: str = ""
    owner: str = ""
    """``user:<uuid>`` or ``org:<uuid>``, as ``CCX-Owner`` carries it."""
    session: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """Bearer token; only ever from the environment, never stored."""


@dataclass(frozen=True)
class Contexts:
    """The file's content."""

    current: str = ""
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def with_context(self, name: str, context: Context) -> Contexts:
        """``name`` is ``context`` from now on, and current."""
        return Contexts(name, {**self.contexts, name: context})

    def without(self, name: str) -> Contexts:
        """``name`` is forgotten; if it was current, nothing is."""
        self.get(name)
        rest = {n: c for n, c in self.contexts.items() if n != name}
        return Contexts("" if self.current == name else self.current, rest)

    def using(self, name: str) -> Contexts:
        """``name`` is current."""
        self.get(name)
        return replace(self, current=name)

    def get(self, name: str) -> Context:
        """Raises :class:`NotFound` with the names there are."""
        try:
            return self.contexts[name]
        except KeyError:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise NotFound(
                f"no context {name!r}", field="context", remedy=f"Known: {known}. Add one with: ccx login --url URL"
            ) from None


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """``~/.config/ccx``, or where ``XDG_CONFIG_HOME`` says."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "ccx"


def load(environ: Mapping[str, str] = os.environ) -> Contexts:
    """What the file holds; empty when there is none. Raises :class:`Invalid` when it is damaged."""
    import yaml

    file = folder(environ) / "config.yaml"
    try:
        raw = yaml.safe_load(file.read_text()) or {}
        contexts = {str(name): Context(**values) for name, values in (raw.get("contexts") or {}).items()}
        return Contexts(str(raw.get("current") or ""), contexts)
    except FileNotFoundError:
        return Contexts()
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise Invalid(f"{file} is damaged: {error}", remedy=f"Remove it and log in again: rm {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(
            f"can't read {file}: {error}", remedy=f"Correct its owner and mode, or remove it: rm {file}"
        ) from None


def save(contexts: Contexts, environ: Mapping[str, str] = os.environ) -> None:
    """Replaces the file as a whole; its mode is 0600 from the first byte."""
    import yaml

    stored: dict[str, Any] = {
        "current": contexts.current,
        "contexts": {
            name: {key: value for key, value in asdict(context).items() if value and key != "token"}
            for name, context in contexts.contexts.items()
        },
    }
    write_private(folder(environ) / "config.yaml", yaml.safe_dump(stored, sort_keys=False))


def write_private(file: Path, text: str) -> None:
    """Writes ``file`` atomically with mode 0600; folders that it needs get 0700."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise Invalid(
            f"can't write {file}: {error.strerror}", remedy="Correct its folder, or name another in XDG_CONFIG_HOME"
        ) from None
    try:
        with os.fdopen(handle, "w") as out:
            out.write(text)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def choose(name: str | None = None, environ: Mapping[str, str] = os.environ) -> Context:
    """The context a command works with: ``name``, else the environment's, else the current one."""
    if name is None and (url := environ.get("CCX_BASE_URL")):
        found = Context(clean_url(url), ca_file=environ.get("CCX_CA_FILE", ""), token=_token(environ))
        if not found.token:
            raise Unauthenticated(
                "CCX_BASE_URL is set and CCX_TOKEN is not", remedy="Set it too, or unset CCX_BASE_URL and: ccx login"
            )
        return found
    contexts = load(environ)
    chosen = name or contexts.current
    if not chosen:
        raise Unauthenticated(
            "no control plane is known", remedy="Log in first: ccx login --url https://ccx.example.net"
        )
    found = contexts.get(chosen)
    return replace(found, token=_token(environ), ca_file=environ.get("CCX_CA_FILE", "") or found.ca_file)


def clean_url(url: str) -> str:
    """``url`` without a trailing slash or ``/api``. Raises :class:`Invalid` when it is no http(s) URL."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and " " not in url
    except ValueError:  # its brackets, or its port
        good = False
    if not good:
        raise Invalid(f"{url!r} is no URL", field="url", remedy="Give it as https://ccx.example.net")
    return url.rstrip("/").removesuffix("/api")


def _token(environ: Mapping[str, str]) -> str:
    token = environ.get("CCX_TOKEN", "")
    if token and not (token.isascii() and token.isprintable()):
        raise Invalid("this is no token", field="CCX_TOKEN", remedy="It is the access_token that the API answered")
    return token
