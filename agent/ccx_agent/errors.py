"""The one way a verb fails on purpose."""

from __future__ import annotations


class AgentError(Exception):
    """What is wrong, and what to do about it. Reaches the control plane as it is, so it must hold no secret."""

    def __init__(self, err: str, remedy: str = "") -> None:
        super().__init__(err)
        self.err = err
        self.remedy = remedy
