"""What the page says, in people's words: names of damages and experts, and what was done to a photo."""

from __future__ import annotations

from collections.abc import Iterable

from unirestorer.core.restoring import Restoration, Step

CLEAN = "clean"
"""What photos without damage are called in a tree."""
_SPOKEN = {"all": "any damage", CLEAN: "nothing wrong", "jpeg": "JPEG blocks", "lowlight": "low light"}
_LEVELS = {"ALL": "for any damage", "TYPE": "for this damage", "DEGREE": "for this degree of it"}


def spoken(name: str) -> str:
    """A damage or node in words: ``low light``; ``rain (medium)`` for ``rain/medium``."""
    task, _, degree = name.partition("/")
    words = _SPOKEN.get(task, task.replace("-", " ").replace("_", " "))
    return f"{words} ({degree.replace('#', ' ')})" if degree else words


def titled(name: str) -> str:
    """As ``spoken``, to begin a line with."""
    text = spoken(name)
    return text[:1].upper() + text[1:]


def level_spoken(name: str) -> str:
    """How special an expert of that level is."""
    return _LEVELS.get(name, name)


def percent(share: float) -> str:
    """For example ``93 %``; what is not quite 0 or 100 does not become so."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "< 1\N{NO-BREAK SPACE}%"
    return "> 99\N{NO-BREAK SPACE}%" if whole == 100 and share < 0.9995 else f"{whole}\N{NO-BREAK SPACE}%"


def done_lines(restoration: Restoration, lost: Iterable[str], notes: Iterable[str], *, same: bool) -> list[str]:
    """What was done, a line each: every step, what its guards said, what could not be kept, and notes.

    same: whether the delivered file equals the one that came.
    """
    lines = [line for step in restoration.route for line in _step_lines(step)]
    if restoration.treatment.strength < 1 and not restoration.unchanged:
        lines.append(f"Kept {percent(restoration.treatment.strength)} of the change, as you asked.")
    if same:
        lines.append("The download is your file, byte for byte.")
    lines += [f"Not kept, because the format cannot hold it: {phrase}." for phrase in lost]
    return [*lines, *(sentence(note) for note in dict.fromkeys([*notes, *restoration.notes]))]


def sentence(text: str) -> str:
    """``text`` with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "." if text else ""


def _step_lines(step: Step) -> list[str]:
    experts = " and ".join(spoken(name) for name in step.experts)
    if step.outcome == "unchanged":
        return [sentence(f"left as it is: {step.reason}")]
    if step.outcome == "undone":
        return [sentence(f"tried the expert for {experts} and did not use it: {step.reason}")]
    tiles = f", in {step.tiling.count} tiles" if step.tiling and step.tiling.count > 1 else ""
    done = f"Restored by the expert for {experts} in {sum(step.seconds.values()):.1f}\N{NO-BREAK SPACE}s{tiles}."
    figures = ", ".join(f"{name} {value:.2f}" for name, value in step.meters.items())
    return [done, *[f"Checked for harm, none found ({figures})."][: len(step.meters)]]
