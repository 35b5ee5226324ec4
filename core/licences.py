"""Licences of experts, of their architecture's code and of their weights, and which of them allow commercial use.

What nobody states is not allowed. These are notes that follow what registries and plugins say, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from .contracts import ExpertSpec
    from .mixture import Estimate

COMMERCIAL = "commercial"
"""What ``--license`` may ask for."""
OWN = "LicenseRef-commercial"
"""How one who owns weights says that they may be used commercially, under no public licence."""
PERMISSIVE = frozenset(
    (
        "0BSD",
        "AFL-3.0",
        "Apache-2.0",
        "Artistic-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSL-1.0",
        "BlueOak-1.0.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "CDLA-Permissive-1.0",
        "CDLA-Permissive-2.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MulanPSL-2.0",
        "NCSA",
        "ODC-By-1.0",
        "PDDL-1.0",
        "PSF-2.0",
        "UPL-1.0",
        "Unlicense",
        "WTFPL",
        "X11",
        "Zlib",
    )
)
"""SPDX identifiers of licences that allow commercial use and ask for no more than notices."""
_KNOWN = frozenset(name.casefold() for name in (*PERMISSIVE, OWN))
"""SPDX identifiers are the same in upper and lower case."""
NOT_STATED = "not stated"
_SHOWN = 4
_WORD = re.compile(r"[()]|[^\s()]+")


@dataclass(frozen=True)
class Licence:
    """Of an expert: SPDX expressions for its ``code`` and its ``weights``, empty where nobody says.

    free: there is nothing to license, it is the identity.
    """

    code: str
    weights: str
    free: bool = False

    @property
    def commercial(self) -> bool:
        """Whether it may be used commercially, as far as is stated."""
        return self.free or (permits(self.code) and permits(self.weights))

    def __str__(self) -> str:
        return f"code {self.code or NOT_STATED}, weights {self.weights or NOT_STATED}"


def licence_of(attributes: Mapping[str, Any], spec: ExpertSpec[Any] | None, base: Licence | None = None) -> Licence:
    """That of an expert by the ``attributes`` of its record and its architecture, None where that is not installed.

    The configuration's ``licence`` comes before that of the architecture. ``base``: of what an adapter rests on.
    """
    code = str(attributes.get("config", {}).get("licence") or ("" if spec is None else spec.licence))
    weights = str(attributes.get("licence", ""))
    own = Licence(code, weights, free=attributes.get("arch") == "identity")
    if base is None or base.free:
        return own
    return Licence(_both(own.code, base.code), _both(own.weights, base.weights))


def _both(first: str, second: str) -> str:
    if first == second or not (first and second):
        return first if first == second else ""
    return f"({first}) AND ({second})"


def permits(expression: str) -> bool:
    """Whether an SPDX ``expression`` allows commercial use: ``MIT``, ``GPL-3.0-only OR MIT``, not ``CC-BY-NC-4.0``."""
    return _allowed(expression) or False


def _allowed(expression: str) -> bool | None:
    """As ``permits``; None where it is not a whole expression, like ``MIT AND``."""
    try:
        allowed, rest = _any_of(_WORD.findall(expression))
    except IndexError:
        return None
    return None if rest else allowed


def _any_of(words: Sequence[str]) -> tuple[bool, Sequence[str]]:
    allowed, words = _all_of(words)
    while words and words[0].upper() == "OR":
        other, words = _all_of(words[1:])
        allowed |= other
    return allowed, words


def _all_of(words: Sequence[str]) -> tuple[bool, Sequence[str]]:
    allowed, words = _one(words)
    while words and words[0].upper() == "AND":
        other, words = _one(words[1:])
        allowed &= other
    return allowed, words


def _one(words: Sequence[str]) -> tuple[bool, Sequence[str]]:
    if words[0] == "(":
        allowed, rest = _any_of(words[1:])
        return (allowed, rest[1:]) if rest[0] == ")" else (False, rest)
    rest = words[3:] if len(words) > 2 and words[1].upper() == "WITH" else words[1:]
    return words[0].casefold() in _KNOWN, rest


def within_licence(
    wanted: str, allowed: NDArray[np.bool_] | None, licences: Sequence[Licence], names: Sequence[str]
) -> NDArray[np.bool_]:
    """Those of the ``allowed`` nodes (M,), None: all, whose expert has a licence of the ``wanted`` kind.

    Raises ``UnknownNameError`` for another kind than ``commercial``, and ``ConfigError`` where no expert is left that
    changes anything though there was one.
    """
    if wanted != COMMERCIAL:
        raise UnknownNameError("licence", wanted, (COMMERCIAL,))
    before = np.ones(len(licences), np.bool_) if allowed is None else allowed
    free = np.array([licence.free for licence in licences])
    left: NDArray[np.bool_] = before & np.array([licence.commercial for licence in licences])
    if not (left & ~free).any() and (before & ~free).any():
        raise ConfigError(_nothing_left(licences, names, np.flatnonzero(before & ~free)))
    return left


def _nothing_left(licences: Sequence[Licence], names: Sequence[str], barred: NDArray[np.intp]) -> str:
    kinds = list(dict.fromkeys(str(licences[node]) for node in barred))
    shown = ", ".join([*(names[node] for node in barred[:_SHOWN]), *(["..."] if len(barred) > _SHOWN else [])])
    return (
        f"--license {COMMERCIAL}: no expert is left that restores anything; {len(barred)} may not be used ({shown}): "
        f"{'; '.join(kinds[:_SHOWN])}; use another model, or state the licence of weights that you own "
        "(unirestorer registry license)"
    )


def forgone(licence: Licence, free: Estimate, taken: Estimate, loss: tuple[float, int] | None) -> str:
    """What a licence cost: the expert that ``free`` chose under ``licence``, and the one ``taken`` instead.

    loss: dB that this costs on that many recorded samples, None where no table of costs is kept.
    """
    return (
        f"--license {COMMERCIAL}: {_name(free)} (probability {_probability(free):.2f}; {licence}) may not be used; "
        f"{_name(taken)} instead, " + (_told(*loss) if loss else "how much worse is unknown: the model keeps no costs")
    )


def _name(estimate: Estimate) -> str:
    return estimate.path[-1]


def _probability(estimate: Estimate) -> float:
    """Of the leaves below the chosen node."""
    return next((branch.probability for branch in estimate.tree if branch.node == estimate.node), 1.0)


def _told(loss: float, samples: int) -> str:
    return f"{abs(loss):.2f} dB {'worse' if loss > 0 else 'better'} on {samples} samples of such damage"


def stated(expression: str) -> str:
    """``expression`` without blanks around it; raises ``ConfigError`` unless it looks like an SPDX expression."""
    text = " ".join(expression.split())
    words = _WORD.findall(text)
    if _allowed(text) is None or any(not re.fullmatch(r"[()]|[A-Za-z0-9.+-]+", word) for word in words):
        raise ConfigError(
            f"licence {expression!r}: wanted an SPDX expression, as in MIT or CC-BY-NC-4.0 (see spdx.org/licenses), or "
            f"{OWN} for weights of your own"
        )
    return text
