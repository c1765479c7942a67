"""A file that an engine has written to a node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class NodeFile:
    """A file on a node. No repr: most of them hold a secret."""

    path: str
    content: str
    mode: str = "0644"
    owner: str = "root"

    def to_json(self) -> dict[str, str]:
        return {"path": self.path, "content": self.content, "mode": self.mode, "owner": self.owner}
