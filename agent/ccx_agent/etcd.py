"""etcd as this node sees it. Membership is changed by the control plane itself, over etcd's own API."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from .errors import AgentError
from .verb import Args, Progress, Verb, number, text, texts


def etcd_ready(args: Args, _progress: Progress) -> dict[str, object]:
    """Returns when one of ``endpoints`` serves a cluster that has agreed its version; within ``limit`` seconds.

    Patroni that starts earlier takes the answer for an etcd without the v3 API, and pauses for five seconds.
    """
    deadline = time.monotonic() + number(args, "limit", 50)
    context = _context(args)
    while time.monotonic() < deadline:
        for endpoint in texts(args, "endpoints"):
            answer = _version(endpoint, context)
            if answer.get("etcdcluster", "not_decided") != "not_decided":
                return {"endpoint": endpoint, **answer}
        time.sleep(0.05)
    raise AgentError("no etcd member serves", "see the journal of ccx-etcd on the nodes")


def etcd_status(args: Args, _progress: Progress) -> dict[str, object]:
    """What each of ``endpoints`` says of its version; an empty answer is none."""
    context = _context(args)
    return {"endpoints": {endpoint: _version(endpoint, context) for endpoint in texts(args, "endpoints")}}


def _context(args: Args) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=text(args, "ca"))
    context.load_cert_chain(text(args, "certificate"), text(args, "key"))
    return context


def _version(endpoint: str, context: ssl.SSLContext) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{endpoint}/version", timeout=1, context=context) as answer:  # noqa: S310
            found = json.load(answer)
    except (OSError, urllib.error.URLError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


VERBS = {"etcd-ready": Verb(etcd_ready, mutates=False), "etcd-status": Verb(etcd_status, mutates=False)}
