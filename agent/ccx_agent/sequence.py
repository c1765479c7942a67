"""Several verbs in one call: connecting, becoming root and starting Python are most of what a verb costs."""

from __future__ import annotations

from .errors import AgentError
from .main import find
from .verb import Args, Progress, Verb, text


def sequence(args: Args, progress: Progress) -> dict[str, object]:
    """``calls``: objects with ``verb`` and ``args``, run in this order up to the first that fails; their results."""
    calls = args.get("calls", [])
    if not isinstance(calls, list) or not all(isinstance(c, dict) and isinstance(c.get("args"), dict) for c in calls):
        raise AgentError("argument calls must be a list of objects with args")
    verbs = [find(text(call, "verb")) for call in calls]
    return {"results": [verb.run(call["args"], progress) for verb, call in zip(verbs, calls, strict=True)]}


VERBS = {"sequence": Verb(sequence, mutates=True)}
