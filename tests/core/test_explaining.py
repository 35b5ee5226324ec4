"""Reasons are what the numbers say, and what is unknown falls back only where that can do no harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unirestorer.core.explaining import EDGE, FAR, WARY, Choice, Decision, branches, decide, finest_level, tree_lines
from unirestorer.core.hierarchy import Hierarchy, LabelledTree
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Estimate, Mixture, top
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.reports import estimate_json, estimate_line, explanation_lines
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from .tiny_world import make_run

NAMES = ("all", "rain", "snow", "rain/heavy", "rain/medium", "snow/small", "snow/large")
NEAR, DISTANT = (WARY + FAR) / 2, FAR + 0.1


def labelled(names: Sequence[str] = NAMES, parent: Sequence[int] = (-1, 0, 0, 1, 1, 2, 2)) -> LabelledTree:
    depth = [0]
    for above in parent[1:]:
        depth.append(depth[above] + 1)
    tree = Hierarchy(
        np.array(parent, np.int32),
        np.array(depth, np.int32),
        np.random.default_rng(0).normal(size=(len(parent), 4)).astype(np.float32),
        np.zeros((0, max(depth) + 1), np.int32),
    ).validate()
    return LabelledTree(tree, tuple(names), tuple(name.split("/")[0] for name in names), ("ALL", "TYPE", "DEGREE"))


def routed(
    leaf: Sequence[float], level: Sequence[float], allowed: Sequence[str] = NAMES, tree: LabelledTree | None = None
) -> Choice:
    tree = tree or labelled()
    mask = np.isin(tree.names, list(allowed))
    usable = mask[tree.tree.ancestors]
    leaves, levels = np.array(leaf), np.array(level)
    return Choice(tree, leaves, levels, usable, *top(leaves, levels, usable))


def decided(choice: Choice, novelty: float | None, **other: object) -> Decision:
    settings: dict[str, object] = {"unharmed": False, "told": None, "fallback": True}
    return decide(choice, novelty, **{**settings, **other})  # type: ignore[arg-type]


def node(decision: Decision) -> str:
    return decision.choice.labelled.names[decision.choice.node]


SURE = ((0.93, 0.05, 0.01, 0.01), (0.02, 0.10, 0.88))


@pytest.mark.parametrize(
    ("leaf", "level", "chosen", "reason"),
    [
        (*SURE, "rain/heavy", "DEGREE level: 0.93 sure of the leaf and 0.88 of the level"),
        (SURE[0], (0.1, 0.7, 0.2), "rain", "TYPE level: 0.70 sure of it, and 0.93 of the leaf rain/heavy"),
        (SURE[0], (0.6, 0.3, 0.1), "all", "ALL level: 0.60 sure of it, and 0.93 of the leaf rain/heavy"),
        (
            (0.41, 0.38, 0.2, 0.01),
            (0.1, 0.7, 0.2),
            "rain",
            "TYPE level: 0.70 sure of it; the leaf is uncertain (rain/heavy 0.41, rain/medium 0.38)",
        ),
    ],
)
@pytest.mark.parametrize("novelty", [None, 0.3, EDGE])
def test_within_what_is_known_the_routers_decide(
    leaf: Sequence[float], level: Sequence[float], chosen: str, reason: str, novelty: float | None
) -> None:
    decision = decided(routed(leaf, level), novelty)
    assert (node(decision), decision.reason) == (chosen, reason)


@pytest.mark.parametrize("fallback", [True, False])
def test_near_the_edge_the_routers_decide_and_it_is_said(fallback: bool) -> None:
    decision = decided(routed(*SURE), WARY, fallback=fallback)
    assert node(decision) == "rain/heavy"
    assert decision.reason.endswith("; unlike anything the model was trained on (novelty 1.50), but not by far")


def test_well_beyond_the_edge_the_finest_level_is_given_up_and_farther_all_but_the_coarsest() -> None:
    near, far = (decided(routed(*SURE), novelty) for novelty in (NEAR, DISTANT))
    assert (node(near), node(far)) == ("rain", "all")
    assert near.reason == (
        f"fell back to TYPE: unlike anything the model was trained on (novelty {NEAR:.2f}); the routers alone take "
        "rain/heavy (DEGREE level: 0.93 sure of the leaf and 0.88 of the level)"
    )
    assert far.reason.startswith("fell back to ALL: ")
    assert near.choice.level == pytest.approx([0.02 / 0.12, 0.10 / 0.12, 0])
    assert far.choice.level == pytest.approx([1, 0, 0])
    assert np.array_equal(far.choice.leaf, SURE[0])


def test_well_beyond_the_edge_the_level_router_may_prefer_the_coarsest() -> None:
    assert node(decided(routed(SURE[0], (0.3, 0.2, 0.5)), NEAR)) == "all"


@pytest.mark.parametrize(("novelty", "levels", "finest"), [(None, 3, 2), (1.5, 3, 2), (NEAR, 3, 1), (DISTANT, 3, 0)])
def test_the_finest_level_by_novelty(novelty: float | None, levels: int, finest: int) -> None:
    assert finest_level(novelty, levels) == finest
    assert finest_level(novelty, 1) == 0
    assert finest_level(DISTANT, levels + 2) == 0


@pytest.mark.parametrize("novelty", [NEAR, DISTANT])
@pytest.mark.parametrize(
    ("choice", "settings", "words"),
    [
        (routed(*SURE), {"unharmed": True}, "but the routers take it for undamaged, so their choice stands"),
        (routed(*SURE), {"fallback": False}, "but falling back is switched off"),
        (
            routed(*SURE, allowed=["rain/heavy", "rain/medium"]),
            {"told": 2},
            "but the instruction leaves nothing coarser",
        ),
        (routed(SURE[0], (0.9, 0.05, 0.05)), {}, "for which this is coarse enough"),
        (routed(SURE[0], (0.9, 0.05, 0.05)), {"unharmed": True}, "for which this is coarse enough"),
    ],
)
def test_the_choice_stands_where_falling_back_would_help_nobody(
    choice: Choice, settings: dict[str, object], words: str, novelty: float
) -> None:
    decision = decided(choice, novelty, **settings)
    assert decision.choice is choice
    assert decision.reason.startswith(choice.said())
    assert decision.reason.endswith(f"unlike anything the model was trained on (novelty {novelty:.2f}), {words}")


def test_a_level_that_is_closed_for_the_leaf_takes_no_share_of_the_certainty() -> None:
    choice = routed(SURE[0], (0.08, 0.12, 0.8), allowed=["all", "rain", "snow"])
    assert choice.said() == "TYPE level: 0.60 sure of it, and 0.93 of the leaf rain/heavy"


def test_falling_back_stays_within_the_instruction_and_above_the_leaf() -> None:
    allowed = ["rain", "rain/heavy", "snow", "all"]
    assert node(decided(routed(*SURE, allowed=allowed), NEAR, told=4)) == "rain"
    assert node(decided(routed(*SURE, allowed=["rain", "rain/heavy"]), DISTANT, told=2)) == "rain/heavy"
    other = decided(routed(*SURE, allowed=["snow", "rain/heavy"]), NEAR, told=2)
    assert node(other) == "rain/heavy"
    assert "nothing coarser" in other.reason


def test_an_instruction_is_part_of_the_reason() -> None:
    only = routed((1, 0, 0, 0), (0, 0, 1), allowed=["rain/heavy"])
    assert decided(only, 0.2, told=1).reason == "the instruction leaves only rain/heavy"
    assert decided(only, DISTANT, told=1).reason == (
        f"the instruction leaves only rain/heavy; unlike anything the model was trained on (novelty {DISTANT:.2f})"
    )
    assert decided(routed(*SURE), 0.2, told=7).reason.endswith("; the instruction leaves 7 nodes")


def test_a_leaf_without_finer_nodes_stands_for_the_finer_levels_too() -> None:
    ragged = labelled(("all", "rain", "jpeg", "rain/heavy", "rain/medium"), (-1, 0, 0, 1, 1))
    choice = routed((0.9, 0.05, 0.05), (0.1, 0.3, 0.6), ragged.names, ragged)  # leaves: jpeg, rain/heavy, rain/medium
    assert choice.said() == "TYPE level: 0.90 sure of the leaf and 0.90 of the level"
    assert "coarse enough" in decided(choice, NEAR).reason
    assert node(decided(choice, DISTANT)) == "all"


def test_branches_sum_their_leaves_parents_first() -> None:
    found = branches(labelled(), np.array([0.5, 0.2, 0.2, 0.1]))
    assert [(b.name, b.level, b.depth) for b in found] == [
        ("all", "ALL", 0),
        ("rain", "TYPE", 1),
        ("rain/heavy", "DEGREE", 2),
        ("rain/medium", "DEGREE", 2),
        ("snow", "TYPE", 1),
        ("snow/small", "DEGREE", 2),
        ("snow/large", "DEGREE", 2),
    ]
    assert [b.probability for b in found] == pytest.approx([1, 0.7, 0.5, 0.2, 0.3, 0.2, 0.1])
    assert [NAMES[b.node] for b in found] == [b.name for b in found]


def test_the_tree_is_drawn_with_small_branches_gathered_but_never_the_chosen_one() -> None:
    found = branches(labelled(), np.array([0.989, 0.004, 0.004, 0.003]))
    assert tree_lines(found, ("all", "rain", "rain/heavy")) == [
        "all                 1.00",
        "├─ rain             0.99",
        "│  ├─ rain/heavy    0.99  ← chosen",
        "│  └─ ... (1 more)  0.00",
        "└─ ... (1 more)     0.01",
    ]
    assert tree_lines(found, ("all", "snow", "snow/small"), plain=True) == [
        "all                 1.00",
        "|- rain             0.99",
        "|  |- rain/heavy    0.99",
        "|  `- ... (1 more)  0.00",
        "`- snow             0.01",
        "   |- snow/small    0.00  <- chosen",
        "   `- ... (1 more)  0.00",
    ]
    assert tree_lines((), ()) == []


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    folder = tmp_path_factory.mktemp("explaining")
    run_pipeline(make_run(folder, "trained"))
    return Mixture(open_registry(folder / "trained"), load_catalogue())


def estimated(mixture: Mixture, edge: float, fallback: bool = True, instruction: Instruction | None = None) -> Estimate:
    """The estimate of a fixed image by a mixture whose knowledge ends at ``edge`` times where it does."""
    assert mixture.memory is not None
    was, mixture.fallback = mixture.memory, fallback
    mixture.memory = replace(was, edge=was.edge * edge)
    try:
        image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))
        return mixture.estimate(image, mixture.allowed(instruction or Instruction()))
    finally:
        mixture.memory, mixture.fallback = was, True


@pytest.fixture
def at_a_leaf(mixture: Mixture, monkeypatch: pytest.MonkeyPatch) -> Mixture:
    """The mixture as if its routers always chose the likeliest leaf, which is not the identity."""
    monkeypatch.setattr("unirestorer.core.mixture.top", lambda leaf, level, usable: (int(leaf.argmax()), 2))
    monkeypatch.setattr(Mixture, "_identities", frozenset())
    return mixture


def test_a_mixture_falls_back_where_it_knows_nothing_alike(at_a_leaf: Mixture) -> None:
    known, unknown, kept = (
        estimated(at_a_leaf, edge, fallback) for edge, fallback in ((100, True), (0.001, True), (0.001, False))
    )
    assert (known.unknown, unknown.unknown, kept.unknown) == (False, True, True)
    assert (known.level, unknown.level, kept.level) == ("DEGREE", "ALL", "DEGREE")
    assert unknown.path == ("all",)
    assert unknown.levels == {"ALL": 1.0, "TYPE": 0.0, "DEGREE": 0.0}
    assert unknown.experts == ((0, 1.0),)
    assert unknown.leaves == known.leaves
    assert "fell back to ALL" in unknown.reason
    assert "switched off" in kept.reason
    assert (known.novelty or 9) < EDGE < FAR < (unknown.novelty or 0)


def test_a_mixture_never_leaves_an_instruction_to_fall_back(at_a_leaf: Mixture) -> None:
    for said in (Instruction(levels=("DEGREE",)), Instruction(experts=("noise/large",)), Instruction(tasks=("noise",))):
        mask = at_a_leaf.allowed(said)
        assert mask is not None
        assert mask[estimated(at_a_leaf, 0.001, instruction=said).node]


def test_an_undamaged_photo_of_an_unknown_kind_is_left_as_it_is(
    at_a_leaf: Mixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mixture, "_identities", frozenset(range(100)))
    found = estimated(at_a_leaf, 0.001)
    assert (found.unknown, found.level) == (True, "DEGREE")
    assert "take it for undamaged" in found.reason


def test_a_report_holds_all_of_it(mixture: Mixture) -> None:
    found = estimated(mixture, 0.001)
    values = estimate_json(found)
    assert values["reason"] == found.reason
    assert (values["unknown"], values["novelty"], values["level"]) == (True, found.novelty, found.level)
    assert [near["photo"] for near in values["nearest"]] == [near.photo for near in found.nearest]
    assert {branch["name"] for branch in values["tree"]} == set(mixture.node_names)
    assert f"unknown (novelty {found.novelty:.2f})" in estimate_line(found)


def test_the_explanation_shows_tree_levels_reason_neighbours_and_a_warning(mixture: Mixture, tmp_path: Path) -> None:
    found = estimated(mixture, 0.001)
    lines = explanation_lines(found)
    text = "\n".join(lines)
    assert lines[0].startswith("  tree     all ")
    assert f"  why      {found.reason}" in lines
    assert "  levels   ALL " in text
    assert all(f"{near.photo}" in text and f"{near.distance:.2f}" in text for near in found.nearest)
    assert lines[-1].startswith("  warning: unlike anything the model was trained on (novelty ")
    calm = "\n".join(explanation_lines(estimated(mixture, 100)))
    assert "warning" not in calm
    assert "keeps no training samples" not in calm
    older = replace(found, nearest=(), novelty=None, unknown=False)
    assert sum("this model keeps no training samples" in line for line in explanation_lines(older)) == 1
    assert "\n".join(explanation_lines(found, plain=True)).isascii()


def test_blended_experts_are_listed(mixture: Mixture) -> None:
    found = replace(estimated(mixture, 100), experts=((1, 0.7), (0, 0.3)))
    assert f"  blend    {mixture.node_names[1]} 0.70, all 0.30" in explanation_lines(found)
    assert not any("blend" in line for line in explanation_lines(estimated(mixture, 100)))
