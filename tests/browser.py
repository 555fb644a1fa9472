"""Pages in a real browser, for tests; they are skipped where none is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (390, 1280)

#: Headless Chromium makes no narrower window; a narrower page goes into a frame.
NARROWEST = 500

#: Told to the page around it, or kept in the title where there is none.
PROBE = """<script>
const press = () => {
  const table = document.querySelector("table:has(tbody tr:nth-child(2))");
  if (!table) return {};
  const head = table.querySelector("th"), button = head.querySelector("button");
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
  button.click(); const rising = column(), said = head.getAttribute("aria-sort");
  button.click(); return {rising, said, falling: column()};
};
const letters = [...document.querySelectorAll("figure svg:not(.board) text")].map(text =>
  text.getBoundingClientRect().height);
const found = {width: document.documentElement.scrollWidth, smallest: Math.min(...letters),
  ...press()};
const text = JSON.stringify(found);
if (parent === window) document.title = text; else parent.postMessage(text, "*");
</script></body>"""


def browser() -> str:
    """The program; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("no browser is installed: apt install chromium")
    return found


def photographed(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """A picture `{width}.png` in `folder`, and what the page says of itself at that width."""
    probe = folder / "probe.html"
    probe.write_text(page.read_text().replace("</body>", PROBE))
    shown, probed = page, probe
    if width < NARROWEST:
        shown, probed = (_framed(inside, width) for inside in (page, probe))
    photo = folder / f"{width}.png"
    _run(shown, width, folder, f"--screenshot={photo}")
    assert photo.stat().st_size > 20_000
    dom = _run(probed, width, folder, "--virtual-time-budget=5000", "--dump-dom")
    title = re.search(r"<title>(\{.*?\})</title>", dom)
    assert title, dom[:300]
    found: dict[str, Any] = json.loads(unescape(title[1]))
    return found


def _framed(page: Path, width: int) -> Path:
    frame = page.with_name(f"framed-{page.name}")
    frame.write_text(
        '<!doctype html><html><head><title></title></head><body style="margin:0"><script>'
        'addEventListener("message", event => { document.title = event.data; });</script>'
        f'<iframe src="{page.as_uri()}" style="border:0;width:{width}px;height:2000px"></iframe>'
        "</body></html>"
    )
    return frame


def _run(page: Path, width: int, folder: Path, *more: str) -> str:
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--hide-scrollbars", f"--user-data-dir={folder / f'profile-{width}'}",
        f"--window-size={max(width, NARROWEST)},2000", *more, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=90).stdout
