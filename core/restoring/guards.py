"""Whether what an expert made may be delivered: limits on the figures of ``meters``, the same for whatever damage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNHARMED = 0.5
"""Probability of being undamaged from which on a picture is left alone though the routers chose an expert."""


@dataclass(frozen=True)
class Guard:
    """The ``limit`` of a meter, the least good value or, ``most``, the greatest; what is wrong beyond it."""

    meter: str
    limit: float
    wrong: str
    most: bool = False

    def broken(self, value: float) -> bool:
        """Whether ``value`` is beyond the limit; what is no number is."""
        return not (value <= self.limit if self.most else value >= self.limit)


GUARDS = (
    Guard("structure", 0.3, "shows something else"),
    Guard("detail", 0.3, "lost its details"),
    Guard("shift", 1.5, "is displaced", most=True),
    Guard("colour", 0.4, "has other colours"),
    Guard("cast", 0.3, "has a colour cast", most=True),
    Guard("clipped", 0.3, "lost its lights or shadows", most=True),
    Guard("burnt", 0.03, "got brighter by burning its lights", most=True),
    Guard("seams", 3.0, "has seams", most=True),
)
"""Chosen on development data: docs/safety.md."""


def harm(meters: Mapping[str, float]) -> str:
    """What is wrong with a result of these ``meters``, empty where nothing is."""
    for guard in GUARDS:
        value = meters.get(guard.meter)
        if value is not None and guard.broken(value):
            return f"the result {guard.wrong} ({guard.meter} {value:.2f}, limit {guard.limit:g})"
    return ""
