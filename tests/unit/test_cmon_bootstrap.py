"""What a node is told at boot."""

from __future__ import annotations

import json

import yaml

from ccx.cmon.bootstrap import user_data


def _data(token: str = "the-token") -> str:
    return user_data(
        hostname="n1g1.abc.db.example.net", control_url="https://192.0.2.1/", token=token,
        installation_ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        apt_key="-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nBBBB\n-----END PGP PUBLIC KEY BLOCK-----\n",
        authorized_key="ssh-ed25519 CCCC",
    )  # fmt: skip


def test_user_data_is_cloud_config_that_fits_into_every_cloud() -> None:
    text = _data()
    assert text.startswith("#cloud-config\n")
    assert len(text.encode()) < 16 * 1024 - 4096, "AWS takes 16 KiB; leave room for real keys"
    config = yaml.safe_load(text)
    assert config["fqdn"] == "n1g1.abc.db.example.net"
    assert config["ssh_deletekeys"] is False
    assert config["package_upgrade"] is False


def test_files_are_there_before_the_command_that_needs_them() -> None:
    config = yaml.safe_load(_data())
    order = config["cloud_init_modules"]
    assert order.index("write_files") < order.index("bootcmd")
    for file in config["write_files"]:
        assert any(file["path"] in command for command in config["bootcmd"])


def test_the_token_is_the_only_secret_and_only_root_reads_it() -> None:
    config = yaml.safe_load(_data("s3cret-token"))
    holding = [file for file in config["write_files"] if "s3cret-token" in file["content"]]
    assert [file["permissions"] for file in holding] == ["0600"]
    told = json.loads(holding[0]["content"])
    assert set(told) == {"control_url", "token", "ca", "apt_key", "authorized_key", "patience"}
    assert "PRIVATE" not in _data()
    rest = {key: value for key, value in config.items() if key != "write_files"}
    assert "s3cret-token" not in json.dumps(rest)


def test_the_enrolment_program_is_valid_python() -> None:
    config = yaml.safe_load(_data())
    script = next(file["content"] for file in config["write_files"] if file["path"].endswith(".py"))
    compile(script, "enrol.py", "exec")
