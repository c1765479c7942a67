"""Password hashes: argon2id, computed in two threads of their own so that a burst of log-ins starves nothing else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's second choice of parameters: 19 MiB, two passes. Two threads bound the memory to 38 MiB.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")


async def hash_password(password: str) -> str:
    """The encoded hash, parameters and salt included."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _HASHER.hash, password)


async def verify_password(password: str, hash_: str | None) -> bool:
    """Whether the password made the hash. ``None`` (no such user) takes as long as a wrong password, and is False."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _verify, password, hash_)


def _verify(password: str, hash_: str | None) -> bool:
    try:
        return _HASHER.verify(hash_ or _nobody(), password) and hash_ is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    return _HASHER.hash("nobody")
