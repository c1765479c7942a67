"""What a mirror inside the fence has to hold, how it is filled, and whether it serves what was asked for.

``repository`` enters what an APT row of the contract holds, beside the row; ``artefacts`` makes the list for given
settings, ``sync`` fills aptly with its APT part, ``verify`` compares. ``sources`` is the same seen from a node.
"""

from ccx.network.mirror.repository import Repository, repositories, repository

__all__ = ["Repository", "repositories", "repository"]
