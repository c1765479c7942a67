"""A browser for the tests: the system's Chromium, or the distribution's package unpacked beside them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_INSTALLED = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
_PACKAGE = "chromium-headless-shell"
# Elements are tried one by one, so that each violation is the one that it was tried for.
_PROBE = """
const found = [];
let trying = null;
document.addEventListener("securitypolicyviolation", () => { trying.blocked = true; });
const element = (tag, attribute, url, rest = {}) => new Promise(done => {
  const made = Object.assign(document.createElement(tag), rest);
  made.onload = made.onerror = done;
  made[attribute] = url;
  document.body.append(made);
  setTimeout(done, 1000);
});
const ways = {
  "script-src": url => element("script", "src", url),
  "img-src": url => element("img", "src", url),
  "frame-src": url => element("iframe", "src", url),
  "style-src": url => element("link", "href", url, {rel: "stylesheet"}),
  "connect-src": url => fetch(url).catch(() => null),
};
(async () => {
  for (const host of HOSTS) {
    for (const [way, load] of Object.entries(ways)) {
      trying = {host, way, blocked: false};
      await load("https://" + host + "/x");
      await new Promise(done => setTimeout(done));
      found.push(trying);
    }
  }
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
"""


def browser(folder: Path) -> list[str]:
    """The command of a Chromium. Skips the test, and says why, where there is none and none can be got."""
    for name in _INSTALLED:
        if found := shutil.which(name):
            return [found]
    cache = ["-o", f"Dir::Cache::Archives={folder}"]
    (folder / "partial").mkdir()
    got = subprocess.run(
        ["apt-get", "-qq", "--yes", "--download-only", "--no-install-recommends", *cache, "install", _PACKAGE],
        capture_output=True, text=True,
    )  # fmt: skip
    packages = list(folder.glob("*.deb"))
    if got.returncode != 0 or not packages:
        pytest.skip(f"there is no Chromium, and {_PACKAGE} can't be downloaded: apt-get update ({got.stderr.strip()})")
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    libraries = [str(path) for path in folder.glob("usr/lib/*-linux-gnu")]
    libraries += [f"{path}/pulseaudio" for path in libraries]
    shell = folder / "usr" / "lib" / "chromium" / _PACKAGE
    command = ["env", f"LD_LIBRARY_PATH={':'.join(libraries)}", str(shell)]
    tried = subprocess.run([*command, "--version"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"the unpacked Chromium does not run: apt-get install {_PACKAGE} ({tried.stderr.strip()})")
    return command


@dataclass
class Page:
    """What a page under a policy was let load."""

    blocked: dict[tuple[str, str], bool] = field(default_factory=dict)
    """By directive and host."""
    said: str = ""
    """The browser's log."""


def load(command: list[str], folder: Path, policy: str, hosts: list[str]) -> Page:
    """Opens a page with ``policy`` and tries to load from each of ``hosts`` in every way. Nothing is sent anywhere."""
    page = Page()
    with _served(policy, hosts) as (port, answered, found), (folder / "log").open("w+") as log:
        shown = subprocess.Popen(
            [*command, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--enable-logging=stderr", f"--user-data-dir={folder}/profile", "--remote-debugging-port=0",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"http://127.0.0.1:{port}/"],
            stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)}, start_new_session=True,
        )  # fmt: skip
        try:
            assert answered.wait(60), f"the page did not report: {(folder / 'log').read_text()[-2000:]}"
        finally:
            os.killpg(shown.pid, 15)
            shown.wait(30)
        page.said = (folder / "log").read_text()
        page.blocked = {(entry["way"], entry["host"]): entry["blocked"] for entry in found}
    return page


@contextmanager
def _served(policy: str, hosts: list[str]) -> Iterator[tuple[int, threading.Event, list[dict[str, str]]]]:
    answered, found = threading.Event(), []
    script = _PROBE.replace("HOSTS", json.dumps(hosts))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_page = self.path == "/"
            body = "<!doctype html><body><script src=/probe.js></script>" if is_page else script
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if is_page else "text/javascript")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            found.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            answered.set()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, answered, found
    finally:
        server.shutdown()
        server.server_close()
