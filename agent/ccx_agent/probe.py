"""Whether this node reaches what it needs: the network contract's probe, run here."""

from __future__ import annotations

from .errors import AgentError
from .verb import Args, Progress, Verb, number, text

_LONGEST_S = 5.0


def probe(args: Args, progress: Progress) -> dict[str, object]:
    """``requests``: destinations, as ``ccx_probe.Request`` has them. Each answer is a line of progress as it comes.

    ``limit`` seconds an attempt; ``proxy`` URL for the requests that are ``proxied``; ``ca`` PEM to be trusted besides.
    """
    from ccx_probe import LIMIT_S, Answer, Request
    from ccx_probe import probe as run

    given = args.get("requests", [])
    if not isinstance(given, list) or not all(isinstance(request, dict) for request in given):
        raise AgentError("argument requests must be a list of objects")
    limit = number(args, "limit", LIMIT_S)
    if not 0 < limit <= _LONGEST_S:
        raise AgentError(f"argument limit must be more than 0 and at most {_LONGEST_S:g}")

    def came(answer: Answer) -> None:
        progress({"answer": answer.to_json()})

    try:
        requests = [Request.from_json(request) for request in given]
        answers = run(requests, came, limit=limit, proxy=text(args, "proxy", ""), ca=text(args, "ca", ""))
    except (TypeError, ValueError) as error:  # the proxy's URL may hold a password: nothing is quoted
        raise AgentError(f"the requests or the proxy are not what they should be: {type(error).__name__}") from None
    return {"answers": [answer.to_json() for answer in answers]}


VERBS = {"probe": Verb(probe, mutates=False)}
