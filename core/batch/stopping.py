"""Ending early: experts that can be told to stop between two tiles, and the errors that end a whole batch."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from ..errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

    from ..mixture import Expert
    from ..restoring import Router


class Stopped(Exception):  # noqa: N818  (nothing is wrong)
    """The batch ends before this picture was restored."""


class DiskFullError(ImageError):
    """Nothing more can be written."""


def stoppable(mixture: Router, stop: Event) -> Router:
    """``mixture``, whose experts raise ``Stopped`` instead of running once ``stop`` is set."""
    same = copy(mixture)

    def expert(node: int) -> Expert:
        found = mixture.expert(node)

        def run(image: Tensor) -> Tensor:
            if stop.is_set():
                raise Stopped
            return found.network(image)

        return found if found.identity else replace(found, run=run)

    same.expert = expert  # type: ignore[method-assign]
    return same


def is_full(error: BaseException) -> bool:
    """Whether ``error`` came of a disk without room, or a quota that is used up."""
    return any(isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT) for e in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
