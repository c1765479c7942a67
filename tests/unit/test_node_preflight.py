"""Before a node is set up it tries what it needs: what of that ends the deployment, and what is only told."""

from __future__ import annotations

import pytest

from ccx.network.kinds import Mirror, Plane
from ccx.network.page import everything
from ccx.network.plan import plan
from ccx.network.probe import Outcome, judge, targets
from ccx.runner.steps import preflight
from ccx.settings import Settings
from ccx_probe import Answer


def own_store() -> Settings:
    """All that is on offer, and the first cloud's backups go to the store that ``ccx up`` runs."""
    whole = everything().model_copy(update={"control_address": "192.0.2.1"})
    first, *others = whole.clouds
    own = {"s3_endpoint": "https://192.0.2.1:8333", "type": "local"}
    return whole.model_copy(update={"clouds": (first.model_copy(update=own), *others)})


def refused(settings: Settings) -> dict[str, Outcome]:
    """By their rows: nothing that nodes try takes a connection."""
    made = plan(settings)
    tried = [target for target in targets(made, made.select(Plane.DATA)) if target.request]
    return {t.row.id: judge(t, Answer(t.key, False, "tcp", "refused", "refuses connections")) for t in tried}


@pytest.mark.parametrize("settings", [everything(), own_store()], ids=["theirs", "of ccx up"])
def test_no_object_store_out_of_reach_ends_a_deployment(settings: Settings) -> None:
    outcomes = refused(settings)
    stores = {
        name
        for name, outcome in outcomes.items()
        if outcome.row.mirror is Mirror.OBJECT_STORE or name.startswith("backup.")
    }
    assert stores
    ending = {outcome.row.id for outcome in preflight.fatal(list(outcomes.values()))}
    assert not ending & stores
    assert ending == outcomes.keys() - stores
