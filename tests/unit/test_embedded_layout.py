"""Where an instance has what, and how its addresses and first settings are chosen."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ccx.embedded import files, preflight, subnet
from ccx.embedded import layout as embedded_layout
from ccx.embedded.defaults import settings_text, with_changes, with_public_url
from ccx.embedded.host_names import without_ours
from ccx.embedded.layout import Layout, installed, remembered
from ccx.embedded.sandbox import closed_folder
from ccx.errors import CcxError, Invalid
from ccx.settings import Settings

SUBNETS = st.integers(0, 255).map(lambda n: IPv4Network((0x0AE00000 + n * 4096, 20)))


def layout(listen: str = "0.0.0.0:443", instance: str = "default") -> Layout:
    return Layout(instance, IPv4Network("10.224.16.0/20"), listen)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0:443", "https://127.0.0.1"),
        ("127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("192.0.2.7:443", "https://192.0.2.7"),
        ("[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_the_public_url_is_one_that_works_on_this_machine(listen: str, url: str) -> None:
    assert layout(listen).public_url == url


@given(st.sets(SUBNETS, max_size=40))
def test_a_chosen_subnet_overlaps_nothing_that_is_taken(taken: set[IPv4Network]) -> None:
    chosen = subnet.choose([(network, "somebody") for network in taken])

    assert not any(chosen.overlaps(network) for network in taken)
    assert chosen.prefixlen == 20


def test_no_free_subnet_is_said_with_the_option_that_helps() -> None:
    with pytest.raises(CcxError, match="--subnet"):
        subnet.choose([(IPv4Network("10.0.0.0/8"), "a route of eth0")])


def test_a_subnet_that_collides_names_who_has_it() -> None:
    with pytest.raises(CcxError, match=r"10\.230\.1\.0/24, a route of wg0"):
        subnet.refuse_overlap(IPv4Network("10.230.0.0/20"), [(IPv4Network("10.230.1.0/24"), "a route of wg0")])


def test_starts_at_the_same_moment_choose_different_subnets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both_chose = threading.Barrier(2)
    plain = subnet.choose

    def choose(networks: Iterable[tuple[IPv4Network, str]]) -> IPv4Network:
        chosen = plain(networks)
        with suppress(threading.BrokenBarrierError):
            both_chose.wait(timeout=0.5)  # whoever is alone in here goes on alone
        return chosen

    async def planned(instance: str, **_: object) -> Layout:
        return layout("127.0.0.1:8443", instance)

    async def routes(besides: str) -> list[tuple[IPv4Network, str]]:
        others = [known for name in installed() if (known := remembered(name))]
        return [(other.subnet, other.instance) for other in others]

    monkeypatch.setattr(embedded_layout, "ROOT", tmp_path / "etc")
    monkeypatch.setattr(preflight, "_CHOOSING", tmp_path / "run")
    monkeypatch.setattr(preflight, "plan", planned)
    monkeypatch.setattr(subnet, "choose", choose)
    monkeypatch.setattr(subnet, "taken", routes)

    def start(instance: str) -> Layout:
        return preflight.claim(instance, wanted_subnet=None, listen=None, resolve=None)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(start, ("one", "other"))

    assert not one.subnet.overlaps(other.subnet)
    assert remembered("one") == one
    assert remembered("other") == other


@pytest.mark.parametrize("text", ["10.230.0.0/24", "10.230.0.1/20", "fd00::/20", "ten", ""])
def test_only_a_whole_slash_20_is_a_subnet(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        subnet.parse(text)
    assert refused.value.field == "--subnet"
    assert refused.value.remedy


@pytest.mark.parametrize("instance", ["default", "try-2"])
def test_the_first_settings_are_valid_and_hold_the_instances_addresses(instance: str) -> None:
    here = layout(instance=instance)
    raw = yaml.safe_load(settings_text(here))
    settings = Settings.model_validate({**raw, "instance": instance, "paths": {"etc": "/e", "var": "/v", "run": "/r"}})

    assert settings.control_address == "10.224.16.2"
    assert settings.resolver_address == "10.224.16.1"
    assert settings.node_network == "10.224.16.0/20"
    assert settings.dsn.endswith(f"host=/run/ccx/{instance}/postgresql")
    cloud = settings.cloud("local")
    assert cloud is not None
    assert [(size.code, size.cpu, size.ram) for size in cloud.instance_types] == [
        ("tiny", 1, 1),
        ("small", 1, 2),
        ("medium", 2, 4),
    ]


def test_another_public_url_leaves_the_operators_comments_alone() -> None:
    text = settings_text(layout()) + "# mine\n"

    moved = with_public_url(text, "https://127.0.0.1:8443")

    assert moved == text.replace("public_url: https://127.0.0.1\n", "public_url: https://127.0.0.1:8443\n")


def test_a_change_sets_what_it_names_and_nothing_else() -> None:
    before = yaml.safe_load(settings_text(layout()))

    after = yaml.safe_load(with_changes(settings_text(layout()), ["auto_repair.delay=5", "state_interval=2.5"]))

    assert after == {**before, "auto_repair": {"enabled": True, "delay": 5}, "state_interval": 2.5}


@pytest.mark.parametrize("change", ["auto_repair.delay", "=5", "auto_repair.=5", "clouds.code=x", "fqdn=[", "fqdn=: :"])
def test_what_is_no_change_is_refused(change: str) -> None:
    with pytest.raises(Invalid):
        with_changes(settings_text(layout()), [change])


def test_a_change_that_the_settings_refuse_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_layout, "ROOT", tmp_path)
    monkeypatch.setattr(files, "USER", getpass.getuser())
    (tmp_path / "default").mkdir()
    kept = tmp_path / "default/ccx.yaml"
    kept.write_text(settings_text(layout()))

    for change in ("auto_repair.delay=soon", "auto_repai.delay=5"):
        with pytest.raises(Invalid, match="auto_repai"):
            files.Files(layout(), [change])._settings()
        assert kept.read_text() == settings_text(layout())


def test_a_folder_that_only_its_owner_enters_is_found_from_the_top(tmp_path: Path) -> None:
    inner = tmp_path / "home" / "checkout" / "src"
    inner.mkdir(parents=True)
    for folder in [*reversed(inner.parents), inner]:
        if folder.is_relative_to(tmp_path):
            folder.chmod(0o755)
    open_above = closed_folder(inner)
    (tmp_path / "home").chmod(0o700)

    assert closed_folder(inner) == (open_above or tmp_path / "home")


def test_forgetting_one_instances_resolver_leaves_the_others_and_the_machines_own() -> None:
    mine = "nameserver 10.224.0.3 # ccx up --resolve --instance mine\n"
    others = "nameserver 10.224.16.3 # ccx up --resolve --instance mine-2\nnameserver 192.0.2.53\nsearch example.net\n"

    assert without_ours(mine + others, "mine") == others
    assert without_ours(others, "mine") == others
