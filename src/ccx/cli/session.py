"""``ccx login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter

from ccx.cli import contexts, output
from ccx.cli.contexts import Context
from ccx.cli.options import DEFAULT, Common
from ccx.errors import CcxError, Invalid


def login(
    *,
    url: Annotated[str | None, Parameter(help="The control plane; else an instance on this machine.")] = None,
    instance: Annotated[str | None, Parameter(help="The instance on this machine; else 'default'.")] = None,
    login: Annotated[str | None, Parameter(help="Who you are; asked for if left out.")] = None,
    password_file: Annotated[str | None, Parameter(help="File with the password (- is stdin); else asked for.")] = None,
    sign_up: Annotated[bool, Parameter(negative=(), help="Register first; you accept the operator's terms.")] = False,
    first_name: Annotated[str, Parameter(help="For --sign-up.")] = "",
    last_name: Annotated[str, Parameter(help="For --sign-up.")] = "",
    ca_file: Annotated[str | None, Parameter(help="PEM file of the CA that signs the control plane.")] = None,
    fingerprint: Annotated[str, Parameter(help="SHA-256 of that CA, instead of being asked to confirm it.")] = "",
    name: Annotated[str | None, Parameter(help="The context's name; else the instance's or the host's.")] = None,
) -> None:
    """Log in to a control plane, and remember it as the current context.

    Without --url it is the current context's control plane, or the instance
    on this machine, whose CA is read from its files. A CA that is not known
    yet is shown for you to confirm.

    Try:
      ccx login
      ccx login --sign-up --login ada@example.net
      ccx login --url https://ccx.example.net --password-file ~/.ccx-password
    """
    name, where = _target(url, instance, name)
    if ca_file:
        from ccx.cli import trust

        where = Context(where.url, ca_file=trust.keep(trust.read(ca_file), name), login=where.login)
    where = _trusted(where, name, fingerprint)
    who = login or _ask("Login: ", where.login)
    password = _password(password_file, twice=sign_up)
    entered = _enter(where, who, password, sign_up=(first_name, last_name) if sign_up else None)
    contexts.save(contexts.load().with_context(name, entered))
    output.say(f"Logged in to {entered.url} as {who} (context {name})")


def logout(*, context: Annotated[str | None, Parameter(help="Which one; else the current one.")] = None) -> None:
    """End the session, here and on the control plane. The context stays.

    Try:
      ccx logout
    """
    from ccx.cli.client import Api

    known = contexts.load()
    name = context or known.current
    left = known.get(name)
    try:
        with Api(left) as api:
            api.post("/auth/logout")
    except CcxError as error:
        if error.status != 401:
            raise
    ended = Context(left.url, ca_file=left.ca_file, login=left.login)
    contexts.save(contexts.Contexts(known.current, {**known.contexts, name: ended}))
    output.say(f"Logged out of {left.url}")


def whoami(*, common: Common = DEFAULT) -> None:
    """Show who is logged in, and where.

    Try:
      ccx whoami --output json
    """
    with common.api() as api:
        answer = api.get("/v2/auth/check")
        answer = {"url": api.context.url, **answer}
    output.record(
        answer,
        [
            ("login", lambda a: a["user"].get("login")),
            ("name", lambda a: f"{a['user'].get('firstName') or ''} {a['user'].get('lastName') or ''}".strip()),
            ("scopes", lambda a: [f"{s['type']}:{s['id']} ({s['role']})" for s in a["scopes"]]),
            ("control plane", "url"),
        ],
        common.output,
    )


def _target(url: str | None, instance: str | None, name: str | None) -> tuple[str, Context]:
    """The context's name and what is known of it, before any question is asked."""
    from ccx.cli import trust

    known = contexts.load()
    if url:
        clean = contexts.clean_url(url)
        chosen = name or urlsplit(clean).netloc
        before = known.contexts.get(chosen)
        return chosen, before if before and before.url == clean else Context(clean)
    if instance is None and name is None and known.current:
        return known.current, known.get(known.current)
    if instance is None and name is not None and name in known.contexts:
        return name, known.get(name)
    where, ca_file = trust.local_instance(instance or "default")
    chosen = name or instance or "default"
    before = known.contexts.get(chosen)
    return chosen, Context(where, ca_file=ca_file, login=before.login if before else "")


def _trusted(where: Context, name: str, fingerprint: str) -> Context:
    """``where``, once its certificate can be verified; asks to confirm a CA that nobody knows."""
    from ccx.cli import trust
    from ccx.cli.client import Api

    if not where.url.startswith("https://"):
        return where
    bare = Context(where.url, ca_file=where.ca_file)
    try:
        with Api(bare) as api:
            api.get("/v2/auth/check")
    except CcxError as error:
        if trust.is_trusted(error):
            if error.status not in (401, 404):
                raise
            return where
        if where.ca_file and not fingerprint:
            raise
        ca_file = trust.keep(trust.first_use(where.url, fingerprint), name)
        return Context(where.url, ca_file=ca_file, login=where.login)
    return where


def _enter(where: Context, who: str, password: str, sign_up: tuple[str, str] | None) -> Context:
    from ccx.cli.client import SESSION_COOKIE, Api

    with Api(Context(where.url, ca_file=where.ca_file)) as api:
        try:
            if sign_up is not None:
                response = api.send("POST", "/auth/register", body=_registration(who, password, *sign_up))
            else:
                response = api.send("POST", "/v2/auth/login", body={"login": who, "password": password})
        except CcxError as error:
            if error.status == 401:
                error.remedy = "Check login and password, or register: ccx login --sign-up"
            raise
    session = response.cookies.get(SESSION_COOKIE)
    scopes: list[dict[str, Any]] = response.json().get("scopes") or []
    if not session:
        raise CcxError(
            "the control plane gave no session", status=502, remedy="Check that the URL is a CCX control plane"
        )
    owner = f"{scopes[0]['type']}:{scopes[0]['id']}" if scopes else ""
    return Context(where.url, ca_file=where.ca_file, login=who, owner=owner, session=session)


def _registration(who: str, password: str, first_name: str, last_name: str) -> dict[str, Any]:
    return {
        "login": who,
        "password": password,
        "firstName": first_name,
        "lastName": last_name,
        "termsAccepted": True,
        "allowNewsletters": False,
        "origin": "cli",
    }


def _ask(question: str, default: str) -> str:
    if not sys.stdin.isatty():
        if default:
            return default
        raise Invalid("nobody can be asked here", field="login", remedy="Give --login")
    suffix = f"[{default}] " if default else ""
    print(question + suffix, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or default
    if not answer:
        raise Invalid("it is empty", field="login", remedy="Give --login")
    return answer


def _password(file: str | None, *, twice: bool) -> str:
    """From a file, or asked for without echo; never from an argument, where every process could read it."""
    if file is not None:
        return read_password(file)
    if not sys.stdin.isatty():
        raise Invalid(
            "nobody can be asked here",
            field="password_file",
            remedy="Give --password-file FILE, or - for standard input",
        )
    from getpass import getpass

    password = getpass("Password: ")
    if twice and getpass("Again: ") != password:
        raise Invalid("the two are not the same", field="password", remedy="Try again")
    return password


def read_password(file: str) -> str:
    """The first line of ``file`` (``-``: standard input). Raises :class:`Invalid` when there is none."""
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).expanduser().read_text().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"can't read {file}: {error}", field="password_file", remedy="Check its path and mode") from None
    if not (password := text.rstrip("\r\n")):
        raise Invalid(f"{file} is empty", field="password_file", remedy="Put the password on its first line")
    return password
