"""An incomplete driver fails when it is loaded, and says what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccx.clouds.base import Tags
from ccx.clouds.registry import check_complete, cloud_types, load_driver, make_cloud
from ccx.clouds.simulated.driver import SimulatedCloud
from ccx.errors import Invalid
from ccx.settings.model import CloudConfig, InstanceType, Paths, Settings

SETTINGS = Settings(paths=Paths.of("test"))


def config(cloud_type: str) -> CloudConfig:
    size = InstanceType(code="tiny", name="Tiny", type="t1", cpu=1, ram=1)
    return CloudConfig(code="c1", type=cloud_type, name="C", regions=(), instance_types=(size,), volume_types=())


@pytest.mark.parametrize("cloud_type", cloud_types())
async def test_every_driver_is_a_whole_cloud_and_can_be_made_from_its_configuration(cloud_type: str) -> None:
    load_driver(cloud_type)
    cloud = make_cloud(config(cloud_type), SETTINGS)
    assert cloud.code == "c1"
    await cloud.close()


def test_a_missing_method_is_named() -> None:
    class NoFence(SimulatedCloud):
        power_off: Any = None

    with pytest.raises(TypeError, match="power_off is missing"):
        check_complete(NoFence)


def test_a_method_with_other_parameters_is_named() -> None:
    class Careless(SimulatedCloud):
        async def delete_volume(self, name: str) -> None:  # type: ignore[override]
            """Without the claim's token."""

    with pytest.raises(TypeError, match="delete_volume takes"):
        check_complete(Careless)


def test_a_blocking_method_is_named() -> None:
    class Blocking(SimulatedCloud):
        def delete_server(self, name: str, tags: Tags) -> None:  # type: ignore[override]
            """Blocks the loop."""

    with pytest.raises(TypeError, match="delete_server must be awaitable"):
        check_complete(Blocking)


def test_an_unknown_type_is_refused_with_those_that_exist() -> None:
    with pytest.raises(Invalid) as refused:
        make_cloud(config("cumulus"), SETTINGS)
    assert refused.value.remedy == "Use one of local, simulated"


def test_the_simulated_cloud_listens_where_the_configuration_says(tmp_path: Path) -> None:
    configured = config("simulated").model_copy(update={"endpoint": str(tmp_path / "sim.sock")})
    cloud = SimulatedCloud.from_config(configured, SETTINGS)
    assert cloud.socket_path == tmp_path / "sim.sock"
    assert SimulatedCloud.from_config(config("simulated"), SETTINGS).socket_path == Path(
        "/run/ccx/test/simulated-cloud.sock"
    )
