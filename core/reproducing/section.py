"""A section of a Markdown page between markers, replaced without touching anything else on the page."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ConfigError
from ..files import atomic

END = "<!-- /reproduce -->"


def put_section(page: Path, name: str, text: str) -> None:
    """Make ``text`` the content between the markers of ``name`` in the file ``page``; appended where there are none.

    The page is replaced as a whole or not at all, and made where it is missing. Raises ``ConfigError`` where a marker
    is there twice, has no end, or another one begins before its end.
    """
    old = _read(page)
    newline = "\r\n" if "\r\n" in old else "\n"
    block = f"<!-- reproduce: {name} -->\n{text.strip()}\n{END}".replace("\n", newline)
    found = _place(page, old, name)
    if found is None:
        gap = "" if not old else newline if old.endswith("\n") else 2 * newline
        new = f"{old}{gap}{block}{newline}"
    else:
        new = old[: found[0]] + block + old[found[1] :]
    with atomic(page) as file:
        file.write(new.encode())


def _read(page: Path) -> str:
    try:
        return page.read_bytes().decode() if page.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{page}: cannot read it as text: {error}; name a Markdown file") from None


def _place(page: Path, text: str, name: str) -> tuple[int, int] | None:
    """Where the section of ``name`` begins and ends, markers included; None where there is none."""
    begins = list(re.finditer(rf"<!--\s*reproduce:\s*{re.escape(name)}\s*-->", text))
    if not begins:
        return None
    if len(begins) > 1:
        raise ConfigError(f"{page}: {begins[0][0]} is there {len(begins)} times; leave one")
    start = begins[0].end()
    end = text.find(END, start)
    other = re.search(r"<!--\s*reproduce:", text[start:])
    if end < 0 or (other and start + other.start() < end):
        raise ConfigError(f"{page}: {begins[0][0]} has no {END} before the next section; put it where the table ends")
    return begins[0].start(), end + len(END)
