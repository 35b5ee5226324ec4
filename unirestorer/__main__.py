"""``python -m unirestorer`` is the command line."""

from __future__ import annotations

from unirestorer.cli.app import main

main()
