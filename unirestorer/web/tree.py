"""An estimate as HTML: what is wrong, the tree with its probabilities and the chosen path, why, and what it is like."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from unirestorer.core.explaining import Branch, below
from unirestorer.core.mixture import Estimate

from .words import CLEAN, level_spoken, percent, sentence, spoken, titled

SHOWN = 0.03
"""Probability below which a branch is gathered with others, unless it leads to the chosen node."""
OPENED = 0.2
"""Probability below which what is under a branch is not drawn, unless it leads to the chosen node."""


def found_html(estimate: Estimate, said: str = "") -> str:
    """The card of ``estimate``; ``said``: the damage that was named, empty in auto mode."""
    sure = estimate.types.get(estimate.task, 0.0)
    told = f'<p class="ur-said">{escape(line)}</p>' if (line := _said(estimate, said)) else ""
    return (
        f'<section class="ur-card" aria-label="What it found"><p class="ur-kicker">What it found</p>'
        f'<h2>{escape(titled(estimate.task))} <span class="ur-sure">{percent(sure)} sure</span></h2>{told}'
        f"{_warning(estimate)}{tree_html(estimate.tree, estimate.path)}{_levels(estimate)}"
        f'<p class="ur-why">{escape(sentence(estimate.reason))}</p>{_nearest(estimate)}</section>'
    )


def _said(estimate: Estimate, said: str) -> str:
    """What was said of the photo; or that the expert is for another damage than the one that it looks like."""
    if said:
        return f"You said: {spoken(said)}."
    helping = estimate.path[-1].partition("/")[0]
    if len(estimate.path) == 1 or helping == estimate.task:
        return ""
    best = "nothing is expected to help" if helping == CLEAN else f"the expert for {spoken(helping)} should help most"
    return f"That is by its likeness to known photos; {best}."


def tree_html(tree: Sequence[Branch], chosen: Sequence[str]) -> str:
    """The tree as nested lists, a bar and a probability at every node, the path to the ``chosen`` node marked."""
    if not tree:
        return ""
    return f'<ul class="ur-tree" aria-label="Tree of experts">{_node(tree, 0, chosen)}</ul>'


def _node(tree: Sequence[Branch], place: int, chosen: Sequence[str]) -> str:
    branch = tree[place]
    children = below(tree, place) if branch.name in chosen or branch.probability >= OPENED else []
    shown = [at for at in children if tree[at].probability >= SHOWN or tree[at].name in chosen]
    if len(children) - len(shown) == 1:
        shown = list(children)
    shown.sort(key=lambda at: -tree[at].probability)
    rest = [tree[at].probability for at in children if at not in shown]
    items = [_node(tree, at, chosen) for at in shown]
    if rest:
        items.append(f"<li>{_row(f'{len(rest)} others', sum(rest), '')}</li>")
    kind = "ur-chosen" if branch.name == chosen[-1] else "ur-path" if branch.name in chosen else ""
    inside = f"<ul>{''.join(items)}</ul>" if items else ""
    return f'<li class="{kind}">{_row(_short(branch), branch.probability, kind)}{inside}</li>'


def _row(name: str, probability: float, kind: str) -> str:
    tag = '<span class="ur-aside">, chosen</span>' if kind == "ur-chosen" else ""
    return (
        f'<div class="ur-row {kind}"><span class="ur-name">{escape(name)}{tag}</span>'
        f'<span class="ur-bar"><i style="width:{100 * probability:.1f}%"></i></span>'
        f'<span class="ur-number">{percent(probability)}</span></div>'
    )


def _short(branch: Branch) -> str:
    """Below a damage, its degree alone."""
    task, _, degree = branch.name.partition("/")
    return titled(degree.replace("#", " ") if degree else task)


def _levels(estimate: Estimate) -> str:
    rows = "".join(
        f'<li class="{"ur-chosen" if name == estimate.level else ""}">'
        f"{_row(level_spoken(name), share, 'ur-picked' if name == estimate.level else '')}</li>"
        for name, share in estimate.levels.items()
    )
    return f'<p class="ur-label">How special the expert should be</p><ul class="ur-levels">{rows}</ul>'


def _warning(estimate: Estimate) -> str:
    if not estimate.unknown:
        return ""
    return (
        '<p class="ur-warning" role="status"><b>Unlike anything the model was trained on</b> '
        f"(novelty {estimate.novelty:.2f}; 1 is the edge of what is known). Look closely at the result.</p>"
    )


def _nearest(estimate: Estimate) -> str:
    if not estimate.nearest:
        return (
            '<p class="ur-faint">This model keeps no training samples, so nobody knows if the photo is like them.</p>'
        )
    rows = "".join(
        f"<tr><td>{escape(titled(near.type))}</td><td>{escape(near.degree)}</td>"
        f'<td class="ur-file">{escape(near.photo)}</td><td class="ur-number">{near.distance:.2f}</td></tr>'
        for near in estimate.nearest
    )
    return (
        f"<details><summary>Training samples it is most like</summary><table><tbody>{rows}</tbody></table>"
        f'<p class="ur-faint">Distance at the right; novelty of this photo {estimate.novelty:.2f}, and 1 is the edge of'
        " what the model knows.</p></details>"
    )
