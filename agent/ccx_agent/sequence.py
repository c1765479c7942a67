"""Several verbs in one call: connecting, becoming root and starting Python are most of what a verb costs."""

from __future__ import annotations

from .errors import AgentError
from .main import find
from .verb import MAIN, Args, Progress, Verb, text


def sequence(args: Args, progress: Progress) -> dict[str, object]:
    """``calls``: objects with ``verb`` and ``args``, run in this order up to the first that fails; their results."""
    calls = args.get("calls", [])
    if not isinstance(calls, list) or not all(isinstance(c, dict) and isinstance(c.get("args"), dict) for c in calls):
        raise AgentError("argument calls must be a list of objects with args")
    verbs = [find(text(call, "verb")) for call in calls]
    if strange := [call["verb"] for call, verb in zip(calls, verbs, strict=True) if verb.lane != MAIN]:
        raise AgentError(f"{', '.join(strange)} can't be called in a sequence: its token is another lane's")
    return {"results": [verb.run(call["args"], progress) for verb, call in zip(verbs, calls, strict=True)]}


VERBS = {"sequence": Verb(sequence, mutates=True)}
