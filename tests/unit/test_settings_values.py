"""What operators already have is read as they mean it, and what can't be right is refused where it stands."""

from __future__ import annotations

import base64
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import Invalid
from ccx.settings.values import Given, read
from ccx.settings.values.tree import Tree, load


@pytest.fixture
def give(tmp_path: Path):
    """Reads texts as values files: ``give("a: 1", "b: 2", KEY="in the environment")``."""

    def reading(*texts: str, ccx_yaml: str | None = None, lenient: bool = False, **environ: str) -> Given:
        files = []
        for index, text in enumerate(texts):
            files.append(tmp_path / f"v{index}.yaml")
            files[-1].write_text(dedent(text))
        own = None
        if ccx_yaml is not None:
            own = tmp_path / "ccx.yaml"
            own.write_text(dedent(ccx_yaml))
        return read(files, own, environ=environ, lenient=lenient)

    return reading


def refused(give, *texts, **options) -> str:
    with pytest.raises(Invalid) as caught:
        give(*texts, **options)
    assert caught.value.field
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    warned = give(*texts, lenient=True, **options).warnings
    assert caught.value.err in {warning.err for warning in warned}
    return str(caught.value)


# --- merging -----------------------------------------------------------------------------------------------------


def test_maps_merge_lists_replace_and_null_deletes():
    tree = Tree()
    tree.merge({"a": {"x": 1, "y": [1, 2]}, "b": {"z": 1}}, "one")
    tree.merge({"a": {"y": [3], "n": 2}, "b": None}, "two")
    assert tree.values == {"a": {"x": 1, "y": [3], "n": 2}}
    assert tree.where("a.x") == "one: a.x"
    assert tree.where("a.y.0") == "two: a.y.0"


scalars = st.integers() | st.text(max_size=3) | st.booleans()
trees = st.recursive(
    st.dictionaries(st.sampled_from("abc"), scalars | st.lists(scalars, max_size=2), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | scalars, max_size=3), max_leaves=8,
)  # fmt: skip


@given(trees, trees)
def test_the_later_file_wins_wherever_it_says_something(first, second):
    tree = Tree(first)
    tree.merge(second, "second")
    once = tree.values
    tree.merge(second, "again")
    assert tree.values == once
    for key, value in second.items():
        if not isinstance(value, dict):
            assert tree.values[key] == value


def test_ccx_yaml_and_the_environment_win_over_values(give):
    text = "ccx: {config: {databases: [{code: postgres, versions: ['16']}]}, services: {notify_worker: {env: {ENABLE_EMAIL: 'true', SMTP_HOST: a.example}}}}"  # noqa: E501
    found = give(text, ccx_yaml="legacy: {databases: [{code: mariadb, versions: ['11.8']}]}", SMTP_HOST="b.example")
    assert [d.code for d in found.settings.databases] == ["mariadb"]
    assert found.settings.notify.smtp_host == "b.example"


def test_a_deployer_of_ccx_yaml_is_the_deployers_configuration(give):
    own = """
        config: {clouds: [{code: sto, type: openstack, regions: [{code: r1}]}]}
        deployer: {openstack_vendors: {sto: {auth_url: "https://keystone.corp:5000/v3"}}}
    """
    [cloud] = give("ccx: {cloudSecrets: [sto]}", ccx_yaml=own).settings.clouds
    assert (cloud.type, cloud.endpoint) == ("openstack", "https://keystone.corp:5000")


# --- malformed files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [", "not YAML"), ("- 1", "holds a mapping"), ("a: 1\na: 2", "a key is there twice"),
     ("a: *hunter2", "not YAML"), ("password: 'hunter2", "not YAML"),
     ("a: !!python/object:os.system hunter2", "not YAML")],
)  # fmt: skip
def test_a_malformed_file_is_refused_by_line_without_quoting_it(tmp_path, text, words):
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(Invalid, match=words) as caught:
        load(file)
    assert str(file) in str(caught.value.field)
    assert "hunter2" not in str(caught.value)


def test_an_absent_and_a_binary_file_are_refused(tmp_path):
    with pytest.raises(Invalid, match="no such file"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid, match="UTF-8"):
        load(tmp_path / "binary")


# --- unknown keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "near"),
    [("ccxFqdn: x.example", "ccxFQDN"), ("ccx: {userDomian: d.example}", "userDomain"),
     ("ccx: {services: {biling: {stripe: true}}}", "billing"), ("external-dns: {enable: true}", "enabled"),
     ("ccx: {services: {notify_worker: {env: {ENABLE_SLAK: 'true'}}}}", "ENABLE_SLACK"),
     ("ccx: {config: {clouds: [{code: aws, regoins: [{code: eu-west-1}]}]}}", "regions"),
     ("global: {imageregistry: 'r:5000'}", "imageRegistry")],
)  # fmt: skip
def test_a_misspelt_key_is_refused_with_the_one_that_was_meant(give, text, near):
    assert f"Did you mean {near}?" in refused(give, text)


def test_a_misspelt_key_of_a_ccx_yaml_is_refused_by_its_file(give):
    said = refused(give, "ccxFQDN: c.example", ccx_yaml="deployer: {openstack_vendor: {x: {auth_url: k.corp}}}")
    assert "ccx.yaml: deployer.openstack_vendor: " in said
    assert "Did you mean openstack_vendors?" in said
    assert "config and legacy" in refused(give, "ccxFQDN: c.example", ccx_yaml="{config: {}, legacy: {}}")


def test_an_anchors_key_at_the_top_is_only_pointed_out(give):
    assert any(w.field == "shared" for w in give("shared: &s {a: 1}").warnings)


# --- the licence -------------------------------------------------------------------------------------------------

PLAIN = "CCX-LICENCE: Example Corp, 2027-01-01 /signature/"
ENCODED = base64.b64encode(PLAIN.encode()).decode()
REAL = base64.b64encode(b'{"company": "Example"}{s9s-signature}').decode()


@pytest.mark.parametrize(
    "text",
    [f"ccxFQDN: c.example\ncmon: {{license: {ENCODED}}}", f"cmon: {{license: '{PLAIN}'}}", f"cmon: {{license: {REAL}}}",
     f"ccxFQDN: c.example\ncmon: {{license: {base64.b64encode(REAL.encode()).decode()}}}"],
)  # fmt: skip
def test_each_charts_form_of_the_licence_is_understood(give, text):
    assert give(text).settings.license.preset


@pytest.mark.parametrize(
    ("text", "words"),
    [(f"ccxFQDN: c.example\ncmon: {{license: '{PLAIN}'}}", "plain text, and the ccx chart takes base64"),
     (f"cmon: {{license: {ENCODED}}}", "base64, and the clustercontrol chart takes plain text")],
)  # fmt: skip
def test_the_other_charts_form_is_refused_by_name(give, text, words):
    said = refused(give, text)
    assert words in said
    assert "cmon.license" in said
    assert PLAIN not in said
    assert ENCODED not in said


@pytest.mark.parametrize("value", ["", "null", "''", "' '"])
def test_an_empty_licence_is_none(give, value):
    assert not give(f"cmon: {{license: {value}}}").settings.license.preset


# --- features ----------------------------------------------------------------------------------------------------


def test_stripe_without_a_key_is_refused_and_with_one_from_anywhere_accepted(give):
    on = "ccx: {services: {billing: {stripe: true}}}"
    said = refused(give, on)
    assert "v0.yaml: ccx.services.billing.stripe: Stripe is on without a key" in said
    assert "STRIPE_SECRET_KEY" in said
    assert give(on, STRIPE_SECRET_KEY="sk_live_hunter2").settings.stripe
    assert give("ccx: {services: {billing: {stripe: true, env: {STRIPE_SECRET_KEY: {valueFrom: x}}}}}").settings.stripe
    assert not give("ccx: {services: {billing: {stripe: 'false'}}}").settings.stripe


@pytest.mark.parametrize(("text", "on"), [("true", True), ("'true'", True), ("'false'", False), ("false", False)])
def test_a_flag_may_be_a_boolean_or_the_string_of_one(give, text, on):
    notify = give(f"ccx: {{services: {{notify_worker: {{env: {{ENABLE_SLACK: {text}}}}}}}}}").settings.notify
    assert notify.slack_enabled is on


def test_a_flag_that_is_neither_is_refused(give):
    assert "ENABLE_SLACK" in refused(give, "ccx: {env: {ENABLE_SLACK: perhaps}}")


def test_email_needs_a_server_and_a_port_that_exists(give):
    assert "SMTP_HOST" in refused(give, "ccx: {env: {ENABLE_EMAIL: 'true'}}")
    assert "no port" in refused(give, "ccx: {env: {ENABLE_EMAIL: 'true', SMTP_HOST: m.example, SMTP_PORT: '99999'}}")
    assert "no host name" in refused(give, "ccx: {env: {ENABLE_EMAIL: 'true', SMTP_HOST: 'smtp://m.example'}}")
    notify = give("ccx: {env: {ENABLE_EMAIL: 'true', SMTP_HOST: m.example, SMTP_PORT: '25'}}").settings.notify
    assert (notify.smtp_host, notify.smtp_port) == ("m.example", 25)


def test_a_variable_stands_for_another_value(give):
    text = "ccxFQDN: ccx.example\nccx: {userDomain: 'db.{ccxFQDN}', env: {ENABLE_EMAIL: true, SMTP_HOST: 'm.{{ .Values.ccx.userDomain }}'}}"  # noqa: E501
    settings = give(text).settings
    assert settings.user_domain == "db.ccx.example"
    assert settings.notify.smtp_host == "m.db.ccx.example"


@pytest.mark.parametrize(
    ("text", "words"),
    [("ccx: {userDomain: 'db.{ccxFQDN}'}", "the variable ccxFQDN has no value"),
     ("ccxFQDN: 'a.{ccx.userDomain}'\nccx: {userDomain: 'b.{ccxFQDN}'}", "refers to itself"),
     ("ccxFQDN: 'a.{b'", "a brace")],
)  # fmt: skip
def test_a_variable_without_value_or_end_is_refused(give, text, words):
    assert words in refused(give, text)


# --- databases ---------------------------------------------------------------------------------------------------


def test_percona_must_say_its_series(give):
    said = refused(give, "ccx: {config: {databases: [{code: percona, versions: ['8']}]}}")
    assert "ccx.config.databases.0.versions.0" in said
    assert '"8.0" or "8.4"' in said


@pytest.mark.parametrize("code", ["valkey", "valkey_sentinel", "microsoft"])
def test_what_has_no_packages_is_left_out_aloud(give, code):
    given_ = give(f"ccx: {{config: {{databases: [{{code: {code}}}, {{code: postgres, versions: ['17']}}]}}}}")
    assert [d.code for d in given_.settings.databases] == ["postgres"]
    assert any(code in w.err for w in given_.warnings)


def test_databases_that_are_not_listed_are_the_defaults(give):
    found = give("ccxFQDN: c.example")
    assert {d.code: d.versions for d in found.settings.databases}["percona"] == ("8.0", "8.4")
    assert any("valkey and microsoft" in w.err for w in found.warnings)


def test_an_unknown_or_repeated_database_is_refused(give):
    assert "there is no database 'oracle'" in refused(give, "ccx: {config: {databases: [{code: oracle}]}}")
    assert "twice" in refused(give, "ccx: {config: {databases: [{code: mariadb}, {code: mariadb}]}}")


# --- clouds ------------------------------------------------------------------------------------------------------

OPENSTACK = """
    ccx:
      cloudSecrets: {secrets}
      config: {{clouds: [{{code: sto, type: openstack, regions: [{{code: r1}}]}}]}}
      services: {{deployer: {{config: {{openstack_vendors: {{sto: {{auth_url: "https://k.corp:5000/v3"}}}}}}}}}}
"""


def test_a_cloud_whose_prefix_matches_no_secret_is_refused(give):
    said = refused(give, OPENSTACK.format(secrets="[mars-secret]"))
    assert "ccx.config.clouds.0.code: no secret is for the cloud 'sto'" in said
    assert "STO_USERNAME" in said
    assert refused(give, OPENSTACK.format(secrets="[]"), MARS_USERNAME="u", MARS_PASSWORD="p")


def test_a_cloud_is_matched_by_variable_by_secret_or_perhaps_by_a_general_one(give):
    assert give(OPENSTACK.format(secrets="[]"), STO_USERNAME="u", STO_PASSWORD="hunter2").settings.clouds
    assert give(OPENSTACK.format(secrets="[sto-secret]")).settings.clouds
    assert give(OPENSTACK.format(secrets="[openstack]")).settings.clouds
    assert any("may hold STO_*" in w.err for w in give(OPENSTACK.format(secrets="[cloud-credentials]")).warnings)


def test_the_environment_says_where_a_clouds_api_and_store_are(give):
    text = OPENSTACK.format(secrets="[sto]")
    [cloud] = give(text, STO_AUTH_URL="http://other.corp/v3", STO_S3_ENDPOINT="s3.corp:9000").settings.clouds
    assert (cloud.endpoint, cloud.s3_endpoint) == ("http://other.corp", "https://s3.corp:9000")


@pytest.mark.parametrize(
    ("vendor", "type_", "expected"),
    [("vmware_vendors: {x: {vc_url: 'https://vc.corp/sdk'}}", "vmware", "https://vc.corp"),
     ("cloudstack_vendors: {x: {url: 'http://cs.corp:8080/client/api'}}", "cloudstack", "http://cs.corp:8080"),
     ("zadara_vendors: {x: {endpoint: z.corp}}", "zadara", "https://z.corp")],
)  # fmt: skip
def test_each_vendors_api_is_found(give, vendor, type_, expected):
    given_ = give("ccx: {cloudSecrets: [x], config: {clouds: [{code: x}]}}", ccx_yaml=f"deployer: {{{vendor}}}")
    [cloud] = given_.settings.clouds
    assert (cloud.type, cloud.endpoint) == (type_, expected)


def test_a_store_that_stands_where_none_is_read_is_refused_with_the_place_for_it(give):
    text = """
        ccx: {config: {clouds: [{code: os, type: openstack, regions: [{code: r}], s3: {endpoint: https://s3.example}}]}}
    """
    said = refused(give, text, OS_AUTH_URL="https://keystone.example", OS_S3_ACCESSKEY="k")
    assert "ccx.config.clouds.0.s3" in said
    assert "OS_S3_ENDPOINT" in said
    assert "openstack_vendors.os.s3" in said


def test_a_chosen_cloud_with_an_empty_plan_is_refused(give):
    assert "its plan would be empty" in refused(give, "ccx: {cloudSecrets: [aws], config: {clouds: [{code: aws}]}}")
    text = "ccx: {cloudSecrets: [x], config: {clouds: [{code: x, type: openstack}]}}"
    assert "its plan would be empty" in refused(give, text)


def test_an_unknown_type_and_a_code_used_twice_are_refused(give):
    assert "no cloud type 'azure'" in refused(give, "ccx: {config: {clouds: [{code: a, type: azure}]}}")
    assert "two clouds 'local'" in refused(give, "ccx: {config: {clouds: [{code: local}, {code: local}]}}")


def test_no_secret_is_kept(give):
    text = """
        cmon: {license: hunter2}
        ccx:
          cloudSecrets: [sto]
          env: {ENABLE_EMAIL: "true", SMTP_HOST: m.example, SMTP_PASSWORD: hunter2, ENABLE_SLACK: "true",
                SLACK_URL: "https://user:hunter2@hooks.slack.com/services/hunter2?x=hunter2", PAGERDUTY_KEY: hunter2,
                ENABLE_PAGERDUTY: true, STRIPE_SECRET_KEY: hunter2, STO_PASSWORD: hunter2,
                STO_S3_ENDPOINT: "https://key:hunter2@s3.corp/hunter2", STO_S3_SECRETKEY: hunter2}
          config: {clouds: [{code: sto, type: openstack}]}
          services:
            billing: {stripe: true}
            deployer: {config: {openstack_vendors: {sto: {auth_url: "https://u:hunter2@k.corp/hunter2"}}}}
    """
    found = give(text, lenient=True, AWS_SECRET_ACCESS_KEY="hunter2")
    assert found.settings.stripe
    assert "hunter2" not in found.settings.model_dump_json()
    assert not any("hunter2" in str(w) for w in found.warnings)
    with pytest.raises(Invalid) as caught:
        give("ccx: {env: {ENABLE_SLACK: true, SLACK_URL: 'https://user:hunter2@/services'}}")
    assert "hunter2" not in str(caught.value)
