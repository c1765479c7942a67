"""Whatever stands in a values file, the answer is settings or one line that says what is wrong."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import CcxError, Invalid
from ccx.network.findings import findings
from ccx.network.plan import plan
from ccx.network.render import FORMATS, render
from ccx.settings.values import read

URL = "https://u:hunter2@h/p"
scalars = (
    st.none() | st.booleans() | st.integers(-1, 70000) | st.floats(allow_nan=False) | st.dates()
    | st.sampled_from(["", "aws", "openstack", "a.example", "http://[", "{x}", "é", "8", "true", URL])
)  # fmt: skip
junk = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
    st.sampled_from(["code", "enabled", "x"]), inner, max_size=2), max_leaves=4)  # fmt: skip


def mostly(value):
    return st.integers(0, 7).flatmap(lambda n: junk if n == 0 else value)


def mapping(**members):
    """Each member mostly as it should be, sometimes junk, sometimes absent."""
    return mostly(st.fixed_dictionaries({}, optional={name: mostly(value) for name, value in members.items()}))


cloud = mapping(
    code=st.sampled_from(["aws", "sto", "gcp"]), type=st.sampled_from(["aws", "openstack", "gcp", "local"]),
    regions=st.lists(mapping(code=st.just("r1"), availability_zones=junk), max_size=2),
    instance_types=st.lists(mapping(code=junk, cpu=junk, ram=junk), max_size=2),
    volume_types=st.lists(mapping(code=junk), max_size=2), endpoint=junk,
)  # fmt: skip
database = mapping(
    code=st.sampled_from(["postgres", "percona", "valkey"]), versions=st.lists(junk, max_size=2), num_nodes=junk,
    types=st.lists(mapping(code=junk, name=junk), max_size=2),
)  # fmt: skip
vendor = mapping(auth_url=junk, s3=mapping(endpoint=junk, enabled=junk), endpoints=mapping(compute=junk), regions=junk)
files = mapping(
    ccxFQDN=junk, cmon=mapping(license=junk, image=junk),
    ccx=mapping(
        userDomain=junk, cloudSecrets=junk, env=mapping(ENABLE_EMAIL=junk, SMTP_HOST=junk, SMTP_PORT=junk), db=junk,
        config=mapping(clouds=st.lists(cloud, max_size=2), databases=st.lists(database, max_size=2)),
        services=mapping(
            billing=mapping(stripe=junk, env=junk), notify_worker=mapping(env=mapping(SLACK_URL=junk)),
            deployer=mapping(config=mapping(
                openstack_vendors=mapping(sto=vendor), aws_vendor=mapping(s3=junk, regions=junk))),
        ),
        mirror=mapping(packages=junk, charts=junk), egressProxy=junk,
    ),
    **{"global": mapping(imageRegistry=junk), "external-dns": mapping(enabled=junk, provider=junk, api=junk)},
)  # fmt: skip


def refused(error: Invalid) -> None:
    assert error.field
    assert error.remedy
    assert "\n" not in str(error)
    assert "hunter2" not in str(error)


def half(**members):
    """Each member as it should be, or junk: for entries that the whole file seldom leads down to."""
    return st.fixed_dictionaries({}, optional={name: value | junk for name, value in members.items()})


entry = half(
    code=st.just("local"), type=st.just("local"), endpoint=scalars,
    regions=st.lists(half(code=st.just("r"), availability_zones=st.lists(junk, max_size=1)), max_size=1),
    instance_types=st.lists(half(code=st.just("s"), cpu=st.just(1), ram=st.just(2)), max_size=1),
    volume_types=st.lists(half(code=st.just("v")), max_size=1),
)  # fmt: skip
offer = half(code=st.just("postgres"), versions=st.lists(scalars, max_size=1), num_nodes=st.lists(scalars, max_size=1),
             types=st.lists(half(code=scalars), max_size=1))  # fmt: skip
narrow = st.builds(
    lambda clouds, databases: {"ccx": {"config": {"clouds": clouds, "databases": databases}}},
    st.lists(entry, max_size=1), st.lists(offer, max_size=1),
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(files | narrow, st.booleans())
def test_any_values_file_gives_settings_or_one_line(values, lenient):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        problems: list[CcxError] = []
        try:
            found = read([file], environ={}, lenient=lenient)
            made = plan(found.settings, problems=problems)
        except Invalid as error:
            refused(error)
            return
        said = [*map(str, found.warnings), *map(str, problems), *map(str, findings(made))]
        assert not any("hunter2" in line for line in said)
        for fmt in ("checklist", "json", "squid"):
            assert fmt in FORMATS
            assert "hunter2" not in render(made, fmt)


WHOLE = {
    "ccxFQDN": "ccx.example", "ccFQDN": "cc.example", "cmon": {"license": "aHVudGVyMg==", "image": "a/cmon:1"},
    "global": {"imageRegistry": "r.example:5000"}, "cert-manager": {"enabled": True}, "nats": {"enabled": True},
    "external-dns": {"enabled": True, "provider": {"name": "aws"}, "api": "https://dns.example"},
    "ccx": {
        "userDomain": "db.example", "cloudSecrets": ["aws", "sto"], "egressProxy": "http://p.example:3128",
        "mirror": {"packages": "http://apt.example", "charts": "https://charts.example"}, "perconaTelemetry": True,
        "db": {"address": "pg", "port": 5432}, "nats": {"server": "nats:4222"},
        "env": {"ENABLE_EMAIL": "true", "SMTP_HOST": "m.example", "SMTP_PORT": "25", "SMTP_PASSWORD": "hunter2",
                "STO_PASSWORD": "hunter2", "STO_S3_ENDPOINT": "https://u:hunter2@s3.example",
                "STO_S3_SECRETKEY": "hunter2",
                "ENABLE_PAGERDUTY": "true", "PAGERDUTY_KEY": "hunter2", "S9S_LICENSE_SERVER_URL": URL},
        "config": {
            "clouds": [{"code": "aws", "type": "aws", "regions": [{"code": "eu-west-1", "availability_zones": ["a"]}]},
                       {"code": "sto", "type": "openstack", "regions": [{"code": "r"}],
                        "instance_types": [{"code": "s", "cpu": 1, "ram": 2}], "volume_types": [{"code": "v"}]}],
            "databases": [{"code": "percona", "versions": ["8.0"], "num_nodes": [1, 3],
                           "types": [{"code": "galera", "name": "G"}]}],
        },
        "services": {
            "billing": {"stripe": True, "env": {"STRIPE_SECRET_KEY": "hunter2"}},
            "notify_worker": {"env": {"ENABLE_SLACK": "true", "SLACK_URL": "https://hooks.slack.com/hunter2",
                                      "SLACK_CHANNEL": "#x"}},
            "uiapp": {"env": {"REACT_APP_PIWIK_PRO_URL": "https://x.piwik.pro"}},
            "deployer": {"config": {"openstack_vendors": {"sto": {
                "auth_url": "https://u:hunter2@k.example:5000", "regions": {"r": {}},
                "s3": {"endpoint": "s3.example", "secret_key": "hunter2", "enabled": True},
                "endpoints": {"compute": "https://nova.example:8774"}}}}},
        },
    },
}  # fmt: skip


def places(value, above=()):
    """The path of every member and entry."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        yield (*above, key)
        yield from places(below, (*above, key))


SECRET_PLACES = sorted(
    (path for path in places(WHOLE) if not isinstance(path[-1], int)),
    key=lambda path: (len(path), list(map(str, path))),
)
ugly = st.sampled_from([
    URL, [URL], {URL: 1}, {"code": URL}, {"x": {"y": URL}}, None, "", 0, -1, 2.5, True, [], {}, [[]], [None], [{}],
    "{x}", "{ccxFQDN}", "{{ .Values.ccxFQDN }}", "{{ .Values.ccx.env.SMTP_PASSWORD }}", "a b", "http://[", "h:99999",
    "é" * 300,
])  # fmt: skip


def changed(values, path, value, key=None):
    """A copy with ``value`` at ``path``, or under another key there."""
    copied = copy.deepcopy(values)
    inner = copied
    for part in path[:-1]:
        inner = inner[part]
    if key is not None:
        del inner[path[-1]]
    inner[path[-1] if key is None else key] = value
    return copied


keys = st.sampled_from([URL, "https://hunter2@h", "x", "CODE", "énable", "a.b", "{x}", "a: b"]) | st.text(max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SECRET_PLACES), ugly, st.none() | keys, st.booleans(), st.sampled_from(sorted(FORMATS)))
def test_whatever_stands_in_the_place_of_a_good_value_no_secret_shows(path, value, key, lenient, fmt):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(yaml.safe_dump(changed(WHOLE, path, value, key), allow_unicode=True))
        problems: list[CcxError] = []
        try:
            found = read([file], environ={}, lenient=lenient)
            made = plan(found.settings, problems=problems if lenient else None)
        except Invalid as error:
            refused(error)
            return
        said = [*map(str, found.warnings), *map(str, problems), *map(str, findings(made))]
        assert not any("hunter2" in line or "\n" in line for line in said)
        assert "hunter2" not in render(made, fmt)


@pytest.mark.parametrize(
    "offered", [{"code": url} for url in (URL, "https://u:a/hunter2@h/p", "https://u:a@hunter2@h/p")]
    + [{"code": "percona", "versions": [URL]}],
)  # fmt: skip
def test_no_message_quotes_the_credentials_of_a_url(tmp_path, offered):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"ccx": {"config": {"databases": [offered]}}}))
    with pytest.raises(Invalid) as caught:
        read([file], environ={})
    refused(caught.value)
    assert "//***@h/p" in str(caught.value)
    lenient = [*map(str, read([file], environ={}, lenient=True).warnings)]
    assert any("//***@h/p" in line for line in lenient)
    assert not any("hunter2" in line for line in lenient)


@pytest.mark.parametrize(
    "text", ["\t", "a: b: c", "? [a]\n: b", "{a: }", "a: &a [*a]", "\ufeffa: 1", "---\na: 1\n---\nb: 2"]
)
def test_strange_yaml_gives_settings_or_one_line(tmp_path, text):
    file = tmp_path / "values.yaml"
    file.write_text(text)
    try:
        read([file], environ={})
    except Invalid as error:
        refused(error)
