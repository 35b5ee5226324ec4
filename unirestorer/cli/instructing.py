"""The options by which ``restore`` and ``diagnose`` are told what is wrong, and the check of them."""

from __future__ import annotations

from typing import Annotated

import typer

Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", metavar="NAME", help="Damage to look for, as in rain or derain. Default: find out."),
]
Degrees = Annotated[
    list[str] | None,
    typer.Option("--degree", metavar="NAME", help="How bad it is: light, medium, heavy, or as experts are called."),
]
Levels = Annotated[
    list[str] | None,
    typer.Option("--level", metavar="NAME", help="How special the expert is: ALL, TYPE, DEGREE, or its number from 0."),
]
Experts = Annotated[
    list[str] | None,
    typer.Option("--expert", metavar="NODE", help="The expert itself, as in rain/heavy, or its number."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="NAME", help="Damage that it is not, or an expert not to use."),
]
