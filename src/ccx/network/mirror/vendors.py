"""Where a mirror is filled from: the vendors' hosts and keys, by the contract's own clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from ccx.errors import CcxError, Invalid
from ccx.network import catalogue
from ccx.network.mirror import keys as openpgp
from ccx.network.mirror.aptly import Say
from ccx.network.mirror.sources import url
from ccx.network.mirror.suites import Suite
from ccx.network.mirror.sync import Upstream

if TYPE_CHECKING:
    from ccx.settings import Settings

_TIMEOUT_S = 30


async def upstreams(
    settings: Settings, wanted: list[Suite], home: Path, say: Say, *, instead: Mapping[str, str], keys: Path | None
) -> Callable[[Suite], Upstream]:
    """For each suite where it comes from. Vendors' keys are kept in ``home``, and their fingerprints said.

    ``instead`` names other URLs, by row; ``keys`` is a file with the keys to check everything with, in place of the
    vendors' own. Raises :class:`CcxError` naming a key that can't be had, and Invalid for a row that is none.
    """
    if unknown := set(instead) - {suite.row for suite in wanted}:
        rows = ", ".join(sorted({suite.row for suite in wanted}))
        err = f"nothing is mirrored by {', '.join(sorted(unknown))}"
        raise Invalid(err, field="--upstream", remedy=f"Rows: {rows}")
    rings = {suite: _given(keys, home) if keys else await _ring(settings, suite, home, say) for suite in wanted}

    def upstream(suite: Suite) -> Upstream:
        return Upstream(instead.get(suite.row, suite.url), suite.suite, suite.components, rings[suite])

    return upstream


def _given(keys: Path, home: Path) -> Path:
    try:
        content = keys.read_bytes()
    except OSError as error:
        raise Invalid(f"can't read {keys}: {error.strerror}", field="--vendor-keys") from None
    return _kept(home / "vendor-keys" / "given.gpg", openpgp.binary(content))


async def _ring(settings: Settings, suite: Suite, home: Path, say: Say) -> Path:
    if not suite.key:
        if not (path := Path(suite.keyring)).exists():
            raise CcxError(
                f"this machine lacks {path}, which checks {suite.url}", status=503,
                remedy=f"apt-get install {path.stem}, or give the keys: --vendor-keys FILE",
            )  # fmt: skip
        return path
    ring = home / "vendor-keys" / f"{suite.key}.gpg"
    if not ring.exists():
        fetched = await _fetched(settings, suite)
        _kept(ring, openpgp.binary(fetched))
        say(f"{suite.key}: trusting {', '.join(openpgp.fingerprints(fetched))}, kept in {ring}")
    return ring


async def _fetched(settings: Settings, suite: Suite) -> bytes:
    endpoint = catalogue.load()[suite.key]
    plain = settings.model_copy(update={"mirror": type(settings.mirror)()})
    where = url(endpoint.targets(plain)[0], endpoint)
    try:
        async with endpoint.client(plain, timeout=_TIMEOUT_S, follow_redirects=True) as http:
            return (await http.get(where)).raise_for_status().content
    except httpx.HTTPError as error:
        raise CcxError(
            f"the signing key of {suite.url} can't be fetched from {where}: {error or type(error).__name__}",
            status=502, remedy="Open the way to it, or give the keys: --vendor-keys FILE",
        ) from None  # fmt: skip


def _kept(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
