"""Writing files on a node: only where allowed, whole, and not when nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent.ccx_agent import files, notes
from agent.ccx_agent.errors import AgentError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    return tmp_path


def _write(path: str, content: str = "x", **more: str) -> list[str]:
    answer = files.write_files({"files": [{"path": path, "content": content, **more}]}, lambda _: None)
    changed = answer["changed"]
    assert isinstance(changed, list)
    return changed


def test_a_file_has_its_content_and_mode_and_is_not_written_again(root: Path) -> None:
    assert _write("/etc/ccx/a/b.conf", "hello", mode="0640") == ["/etc/ccx/a/b.conf"]
    written = root / "etc/ccx/a/b.conf"
    assert (written.read_text(), written.stat().st_mode & 0o777) == ("hello", 0o640)
    assert _write("/etc/ccx/a/b.conf", "hello", mode="0640") == []
    assert _write("/etc/ccx/a/b.conf", "hello", mode="0600") == ["/etc/ccx/a/b.conf"]
    assert sorted(p.name for p in written.parent.iterdir()) == ["b.conf"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "/etc/ccx", "/etc/ccxx/a", "/etc/ccx/../passwd", "/etc/ccx/./a", "etc/ccx/a", "//etc/ccx/a",
        "/etc/systemd/system/ssh.service", "/etc/sudoers.d/ccx-agent", "",
    ],
)  # fmt: skip
def test_a_path_outside_of_the_allowed_ones_is_refused(path: str, root: Path) -> None:
    with pytest.raises(AgentError, match="not a file that the control plane may write"):
        _write(path)
    assert list(root.iterdir()) == []


def test_a_symbolic_link_leads_nowhere(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "etc/ccx").mkdir(parents=True)
    (root / "etc/ccx/link").symlink_to(root / "elsewhere")
    with pytest.raises(AgentError, match="symbolic link"):
        _write("/etc/ccx/link/file")
    assert list((root / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("mode", ["rw", "0999", ""])
def test_a_mode_that_is_not_octal_is_refused(mode: str) -> None:
    with pytest.raises(AgentError, match="octal"):
        _write("/etc/ccx/a", mode=mode)


def test_an_owner_that_the_node_lacks_is_named() -> None:
    with pytest.raises(AgentError, match="nobody-of-that-name"):
        _write("/etc/ccx/a", owner="nobody-of-that-name")


def test_a_note_is_read_as_it_was_written_and_none_where_there_is_none(tmp_path: Path) -> None:
    noted = tmp_path / "far-1f"
    assert notes.read(noted) is None
    for content in ({"done": 1, "view": ["n1g1"]}, 57):
        notes.write(noted, content)
        assert notes.read(noted) == content
    noted.write_text("")
    assert notes.read(noted) is None, "it was being written when the machine died"
    assert list(tmp_path.iterdir()) == [noted]
