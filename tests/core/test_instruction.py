"""Instruction mode: words, masks on trees of every shape, and that no mask ever leads to a forbidden node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unirestorer.core.contracts import Config, SynthesizerSpec
from unirestorer.core.errors import ConfigError, ShapeError, UnknownNameError
from unirestorer.core.hierarchy import Hierarchy, LabelledTree, level_names
from unirestorer.core.instruction import AUTO, Instruction
from unirestorer.core.masking import degree_of, mask_of, tasks_of
from unirestorer.core.mixture import Mixture, conditional, top
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.routing import Routers, openings
from unirestorer.core.words import SEVERITIES, degrees_meant, plain, types_meant
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from .tiny_world import make_run

WORDS = load_catalogue().words
SPOKEN = {
    "rain": "rain derain de-rain deraining Rainy streaks RAIN",
    "haze": "haze fog foggy dehaze de_haze mist hazy",
    "lowlight": "lowlight low-light dark night underexposed brighten Low_Light",
    "jpeg": "jpeg jpg JPG compression artifacts blocking de-jpeg jpeg-artifacts",
    "noise": "noise denoise noisy grain de-noise",
    "blur": "blur deblur blurry motion motion-blur motion-deblurring",
    "snow": "snow desnow snowy",
    "clean": "clean Clean",
}


def grown(names: str, types: str, parent: Sequence[int], level: Sequence[int], levels: str) -> LabelledTree:
    depth = max(level) + 1
    tree = Hierarchy(
        np.array(parent, np.int32),
        np.array(level, np.int32),
        np.random.default_rng(0).normal(size=(len(parent), 4)).astype(np.float32),
        np.zeros((0, depth), np.int32),
    ).validate()
    return LabelledTree(tree, tuple(names.split()), tuple(types.split()), tuple(levels.split()))


PLAIN = grown(
    "all rain noise haze "
    "rain/large rain/medium noise/small noise/medium noise/large haze/thick haze/normal haze/thick#2",
    "all rain noise haze rain rain noise noise noise haze haze haze",
    [-1, 0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3],
    [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2],
    "ALL TYPE DEGREE",
)
RAGGED = grown(  # a group of two types, a type in no group, one without degrees, and a degree that was divided
    "all weather rain haze noise jpeg rain/heavy rain/light haze/thick noise/small rain/heavy/1 rain/heavy/2",
    "all weather rain haze noise jpeg rain rain haze noise rain rain",
    [-1, 0, 1, 1, 0, 0, 2, 2, 3, 4, 6, 6],
    [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4],
    "ALL GROUP TYPE DEGREE LEVEL4",
)
IMPURE = grown(  # a clustering put noise under rain, and names two nodes of a level after one type
    "all rain rain#2 rain/heavy noise/small rain/heavy+ rain/light",
    "all rain rain rain noise rain rain",
    [-1, 0, 0, 1, 1, 3, 2],
    [0, 1, 1, 2, 2, 3, 2],
    "ALL TYPE DEGREE LEVEL3",
)


def left(labelled: LabelledTree, **said: str | int | Sequence[str | int]) -> str:
    """The names that an instruction leaves, in the order of the tree."""
    mask = mask_of(Instruction.of(**said), labelled, WORDS)
    assert mask is not None
    return " ".join(name for name, allowed in zip(labelled.names, mask, strict=True) if allowed)


def refused(labelled: LabelledTree, **said: str | Sequence[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        mask_of(Instruction.of(**said), labelled, WORDS)
    return str(caught.value)


def test_an_instruction_says_what_was_said() -> None:
    said = Instruction.of("rain", ["heavy", "light"], 1, expert=(9, "rain/heavy#2"))
    assert said == Instruction(("rain",), ("heavy", "light"), ("1",), ("9", "rain/heavy#2"))
    assert str(said) == "--task rain --degree heavy --degree light --level 1 --expert 9 --expert 'rain/heavy#2'"
    assert Instruction.of(expert=np.int64(9)) == Instruction(experts=("9",))  # type: ignore[arg-type]
    assert Instruction.of(exclude="snow").said == {"exclude": ("snow",)}
    assert not AUTO
    assert mask_of(AUTO, PLAIN, WORDS) is None


# Words


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, words in SPOKEN.items() for word in words.split()])
def test_people_are_understood(kind: str, word: str) -> None:
    assert types_meant(word, list(SPOKEN), WORDS) == (kind,)
    assert types_meant(word.upper(), list(SPOKEN), WORDS) == (kind,)
    assert types_meant(f" {word} ", list(SPOKEN), WORDS) == (kind,)


def test_no_word_of_the_built_in_degradations_has_two_meanings() -> None:
    said = [(plain(word), name) for name, words in WORDS.items() for word in (name, *words)]
    assert [word for word, count in Counter(word for word, _ in said).items() if count > 1] == []
    assert len(said) > 50
    for word, name in said:
        assert types_meant(word, list(WORDS), WORDS) == (name,)


def test_no_word_for_a_degree_has_two_meanings() -> None:
    words = [word for line in SEVERITIES for word in line]
    assert len(set(words)) == len(words)
    assert [plain(word) for word in words] == words


def with_plugin(name: str, *words: str) -> Mapping[str, Sequence[str]]:
    """The words of the built-in degradations and of a third party's."""
    catalogue = load_catalogue()
    spec = SynthesizerSpec(name, "of a third party", Config, lambda config: config, words=words)  # type: ignore[arg-type, return-value]
    return replace(catalogue, synthesizers={**catalogue.synthesizers, name: spec}).words


def test_a_type_that_is_called_like_a_word_wins() -> None:
    words = with_plugin("fog")
    assert types_meant("fog", ["fog", "haze"], words) == ("fog",)
    assert types_meant("Fog", ["fog", "haze"], words) == ("fog",)
    assert types_meant("foggy", ["fog", "haze"], words) == ("haze",)
    assert types_meant("fog", ["haze"], words) == ()  # what is registered is not what the model has
    assert types_meant("fog", ["fog", "haze"], WORDS) == ("fog",)  # nor need the plugin be installed


def test_a_plugins_type_is_masked_as_itself() -> None:
    names = "all fog haze fog/thin haze/thick"
    tree = grown(names, "all fog haze fog haze", [-1, 0, 0, 1, 2], [0, 1, 1, 2, 2], "ALL TYPE DEGREE")
    for words in (WORDS, with_plugin("fog", "pea soup")):
        masks = [mask_of(Instruction.of(word), tree, words) for word in ("fog", "dehaze")]
        assert [mask.tolist() for mask in masks if mask is not None] == [
            [False, True, False, True, False],
            [False, False, True, False, True],
        ]


def test_third_parties_bring_their_own_words() -> None:
    words = with_plugin("acme-glare", "sun spots", "rain", "mist")
    assert types_meant("sunspots", ["acme-glare", "rain"], words) == ("acme-glare",)
    assert types_meant("ACME glare", ["acme-glare", "rain"], words) == ("acme-glare",)
    assert types_meant("rain", ["acme-glare", "rain"], words) == ("rain",)
    assert types_meant("rain", ["acme-glare"], words) == ()
    assert types_meant("mist", ["acme-glare", "haze"], words) == ("acme-glare", "haze")  # both say so


def test_a_word_reaches_no_type_that_only_sounds_alike() -> None:
    assert types_meant("haze", ["coloured-haze", "haze"], WORDS) == ("haze",)
    assert types_meant("fog", ["coloured-haze"], WORDS) == ()
    assert types_meant("Coloured Haze", ["coloured-haze", "haze"], WORDS) == ("coloured-haze",)


def test_a_degree_that_is_called_so_comes_before_its_like() -> None:
    assert degrees_meant("heavy", ["small", "large"]) == ("large",)
    assert degrees_meant("Heavy", ["heavy", "large"]) == ("heavy",)
    assert degrees_meant("light", ["small", "weak", "medium"]) == ("small", "weak")
    assert degrees_meant("2", ["1", "2"]) == ("2",)
    assert degrees_meant("noise + rain", ["noise+rain"]) == ("noise+rain",)
    assert degrees_meant("none", ["small"]) == ()


def test_degrees_are_read_from_the_names_that_clusterings_and_extensions_give() -> None:
    names = ["all", "rain", "rain#2", "rain/heavy", "rain/heavy#2", "rain/heavy+", "rain/heavy++#2", "rain/2"]
    assert [degree_of(name) for name in names] == ["", "", "", "heavy", "heavy", "heavy", "heavy", "2"]
    split = ["rain/heavy/1", "rain/heavy#2/1/2", "mixed/noise small + rain large#3"]
    assert [degree_of(name) for name in split] == ["heavy", "heavy", "noise small + rain large"]


# Masks


def test_a_task_leaves_its_nodes_and_several_tasks_leave_all_of_theirs() -> None:
    assert left(PLAIN, task="derain") == "rain rain/large rain/medium"
    assert left(PLAIN, task=["rain", "fog"]) == "rain haze rain/large rain/medium haze/thick haze/normal haze/thick#2"
    assert left(RAGGED, task="weather") == (
        "weather rain haze rain/heavy rain/light haze/thick rain/heavy/1 rain/heavy/2"
    )
    assert left(RAGGED, task="jpg") == "jpeg"
    assert left(IMPURE, task="rain") == "rain rain#2 rain/heavy rain/heavy+ rain/light"
    assert left(IMPURE, task="noise") == "noise/small"


def test_a_task_at_all_levels_is_the_mask_of_the_papers_figure() -> None:
    every = ["ALL", "TYPE", "DEGREE"]
    assert left(PLAIN, task="rain", level=every) == "all rain rain/large rain/medium"
    mask = mask_of(Instruction(("rain",), levels=tuple(every)), PLAIN, WORDS)
    leaves, levels = openings(torch.from_numpy(PLAIN.tree.ancestors.astype(np.int64)), torch.from_numpy(mask))
    assert leaves.tolist() == [True, True] + [False] * 6
    assert levels.tolist() == [True, True, True]


def test_a_degree_leaves_nodes_of_that_degree_or_its_like_of_each_type() -> None:
    assert left(PLAIN, degree="heavy") == "rain/large noise/large haze/thick haze/thick#2"
    assert left(PLAIN, degree="thick") == "rain/large noise/large haze/thick haze/thick#2"
    assert left(PLAIN, degree=["light", "medium"]) == "rain/medium noise/small noise/medium haze/normal"
    assert left(PLAIN, task="noise", degree="heavy") == "noise/large"
    assert left(RAGGED, degree="heavy") == "rain/heavy haze/thick rain/heavy/1 rain/heavy/2"
    assert left(IMPURE, degree="heavy") == "rain/heavy rain/heavy+"


def test_a_level_leaves_its_nodes_and_on_paths_without_one_the_coarser() -> None:
    assert left(PLAIN, level="type") == left(PLAIN, level=1) == "rain noise haze"
    assert left(PLAIN, level=["ALL", "TYPE"]) == "all rain noise haze"
    with pytest.raises(UnknownNameError, match="level '-1'"):
        left(PLAIN, level=-1)
    assert left(RAGGED, level="DEGREE") == "jpeg rain/heavy rain/light haze/thick noise/small"
    assert left(RAGGED, level="level 4") == "jpeg rain/light haze/thick noise/small rain/heavy/1 rain/heavy/2"
    assert left(RAGGED, level="GROUP") == "all weather"  # noise and jpeg are in no group


def test_a_level_with_a_task_leaves_what_stands_there_for_the_task() -> None:
    assert left(PLAIN, task="rain", level="ALL") == "all"
    assert left(PLAIN, task="rain", level=["all", "degree"]) == "all rain/large rain/medium"
    assert left(PLAIN, degree="heavy", level="TYPE") == "rain noise haze"
    assert left(PLAIN, task="rain", degree="heavy", level="ALL") == "all"
    assert left(RAGGED, task="rain", level="GROUP") == "weather"
    assert left(RAGGED, task="noise", level="GROUP") == "all"
    assert left(RAGGED, task="jpeg", level="DEGREE") == "jpeg"
    assert left(RAGGED, task="weather", level="TYPE") == "rain haze"
    assert left(IMPURE, task="rain", level="TYPE") == "rain rain#2"


def test_an_expert_is_exactly_that_node() -> None:
    assert left(PLAIN, expert="haze/thick") == left(PLAIN, expert=9) == "haze/thick"
    assert left(PLAIN, expert=["rain", "11"]) == "rain haze/thick#2"
    assert left(PLAIN, task="rain", expert="all") == "all"
    assert left(PLAIN, degree="heavy", expert=["rain", "noise/small", "noise/large"]) == "rain noise/large"


def test_what_is_excluded_goes_with_all_of_its_task_or_all_below_it() -> None:
    assert left(PLAIN, exclude="foggy") == "all rain noise rain/large rain/medium noise/small noise/medium noise/large"
    assert left(PLAIN, task="noise", exclude="noise/large") == "noise noise/small noise/medium"
    assert left(PLAIN, task="noise", exclude=[7, "noise/large"]) == "noise noise/small"
    assert left(RAGGED, exclude=["weather", "noise"]) == "all jpeg"
    assert left(RAGGED, task="rain", exclude="rain/heavy") == "rain rain/light"
    assert left(IMPURE, exclude="rain") == "all noise/small"
    assert left(IMPURE, exclude="rain#2") == "all rain rain/heavy noise/small rain/heavy+"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            {"task": "rain", "degree": "light"},
            "--task rain --degree light: no such expert; --task rain has the degrees medium, large",
        ),
        (
            {"task": "noise", "expert": "rain/large", "exclude": "fog"},
            "--task noise --expert rain/large: no such expert; "
            "--task noise has the experts noise, noise/small, noise/medium, noise/large",
        ),
        (
            {"task": ["rain", "noise"], "level": "TYPE", "exclude": ["streaks", "noise"]},
            "--task rain --task noise --exclude streaks --exclude noise: no such expert; "
            "everything that --task rain --task noise has is excluded",
        ),
        ({"exclude": "all"}, "--exclude all: no such expert; everything that the model has is excluded"),
        (
            {"level": "ALL", "expert": "rain"},
            "--level ALL --expert rain: no such expert; --level ALL has the experts all",
        ),
    ],
)
def test_an_impossible_combination_is_one_line_that_says_what_is_possible(
    said: dict[str, str | Sequence[str]], line: str
) -> None:
    assert refused(PLAIN, **said) == line


def test_impossible_combinations_of_ragged_trees_are_told_too() -> None:
    assert refused(RAGGED, task="jpeg", degree="heavy") == (
        "--task jpeg --degree heavy: no such expert; --task jpeg has no degrees"
    )
    assert refused(IMPURE, task="noise", level="TYPE") == (
        "--task noise --level TYPE: no such expert; --task noise has the levels DEGREE"
    )


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"task": "derian"}, "unknown task 'derian'; did you mean 'derain'? Known: haze, noise, rain"),
        ({"task": "snowy"}, "unknown task 'snowy'; known: haze, noise, rain"),
        ({"task": ""}, "unknown task ''; known: haze, noise, rain"),
        ({"degree": "hevy"}, "unknown degree 'hevy'; did you mean 'heavy'? Known: large, medium, normal, small, thick"),
        ({"level": "TPYE"}, "unknown level 'TPYE'; did you mean 'TYPE'? Known: ALL, DEGREE, TYPE"),
        ({"level": "3"}, "unknown level '3'; known: ALL, DEGREE, TYPE"),
        ({"expert": "rain/larg"}, "unknown node 'rain/larg'; did you mean 'rain/large'? Known: "),
        ({"expert": "12"}, "unknown node '12'; known: "),
        ({"exclude": "denoisy"}, "unknown task or node 'denoisy'; did you mean "),
    ],
)
def test_unknown_names_are_told_with_the_nearest(said: dict[str, str], line: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        mask_of(Instruction.of(**said), PLAIN, WORDS)
    assert str(caught.value).startswith(line)


# No mask leads to a forbidden node


def random_tree(rng: np.random.Generator) -> LabelledTree:
    """Of any shape: leaves at any level, paths that skip levels."""
    parent, level = [-1], [0]
    for _ in range(rng.integers(0, 16)):
        above = int(rng.integers(len(parent)))
        parent.append(above)
        level.append(level[above] + int(rng.integers(1, 3)))
    own, kinds = ["all"], ["all"]
    for node in range(1, len(parent)):
        kinds.append(f"t{node}" if parent[node] == 0 or rng.random() < 0.1 else kinds[parent[node]])
        degree = rng.choice(["heavy", "large", "light", "medium", "1"])
        own.append(kinds[-1] if parent[node] == 0 else f"{kinds[-1]}/{degree}#{node}")
    return grown(" ".join(own), " ".join(kinds), parent, level, " ".join(level_names(max(level) + 1)))


def trees(count: int) -> Iterator[tuple[np.random.Generator, LabelledTree]]:
    rng = np.random.default_rng(11)
    return ((rng, random_tree(rng)) for _ in range(count))


def check_routing(tree: Hierarchy, mask: NDArray[np.bool_], scale: float) -> None:
    """Routers with weights of ``scale`` choose allowed nodes only; 1e4 drives all but one probability to 0."""
    routers = Routers(4, torch.from_numpy(tree.ancestors.astype(np.int64))).eval()
    with torch.no_grad():
        for weights in (routers.leaf_gate.linear.weight, routers.level_gate.linear.weight):
            weights.copy_(torch.randn(weights.shape) * scale)
    dr = torch.randn(8, 4)
    with torch.inference_mode():
        out = routers(dr, allowed=torch.from_numpy(mask))
    usable = mask[tree.ancestors]
    assert torch.allclose(out.leaf.sum(1), torch.ones(8))
    assert torch.allclose(out.level.sum(1), torch.ones(8))
    for leaf, level in zip(out.leaf.numpy(), out.level.numpy(), strict=True):
        row, column = top(leaf, level, usable)
        assert usable[row, column], (tree, mask)
        assert row == leaf.argmax()
        assert (conditional(level, usable).sum(1) <= 1 + 1e-9).all()
    open_leaves = openings(routers.ancestors, torch.from_numpy(mask))[0].numpy()
    near = tree.nearness(dr.numpy() * np.float32(scale), open_leaves)
    assert np.allclose(near.sum(1), 1)
    assert not near[:, ~open_leaves].any()


@pytest.mark.parametrize("scale", [0.1, 30, 1e4])
def test_the_joint_choice_is_an_allowed_node_for_any_tree_and_any_mask(scale: float) -> None:
    torch.manual_seed(3)
    for rng, labelled in trees(150):
        mask = rng.random(len(labelled.names)) < rng.random()
        mask[rng.integers(len(mask))] = True
        check_routing(labelled.tree, mask, scale)


def test_masks_of_instructions_on_any_tree_leave_nodes_or_say_why_not() -> None:
    torch.manual_seed(4)
    outcomes, lines = Counter[str](), list[str]()
    for rng, labelled in trees(400):
        said = random_instruction(rng, labelled)
        try:
            mask = mask_of(said, labelled, WORDS)
        except (ConfigError, UnknownNameError) as error:
            lines.append(str(error))
            outcomes[type(error).__name__] += 1
            continue
        outcomes["mask" if mask is not None else "auto"] += 1
        if mask is not None:
            assert mask.any()
            check_promises(labelled, said, mask)
            check_routing(labelled.tree, mask, 30)
    assert all(line and "\n" not in line for line in lines)
    assert min(outcomes[kind] for kind in ("mask", "auto", "ConfigError", "UnknownNameError")) > 10, outcomes


def random_instruction(rng: np.random.Generator, labelled: LabelledTree) -> Instruction:
    def some(names: Sequence[str], chance: float) -> list[str]:
        count = int(rng.integers(1, 3)) if len(names) and rng.random() < chance else 0
        return [str(name) for name in rng.choice(names, count)] if count else []

    return Instruction.of(
        some(tasks_of(labelled), 0.5),
        some(["heavy", "light", "medium"], 0.3),
        some(labelled.level_names, 0.3),
        some(labelled.names, 0.15),
        some(labelled.names, 0.3),
    )


def check_promises(labelled: LabelledTree, said: Instruction, mask: NDArray[np.bool_]) -> None:
    """What each part of an instruction promises of every node that is left, said again without the code's sets."""
    tree = labelled.tree
    leaf_types = {labelled.types[leaf] for leaf in tree.leaves}
    for node in np.flatnonzero(mask).tolist():
        kind = labelled.types[node]
        if said.tasks and kind in leaf_types:
            on_path = {labelled.types[n] for n in tree.path(node)} - leaf_types
            assert kind in said.tasks or on_path & set(said.tasks)
        if said.levels:
            numbers = [labelled.level_names.index(name) for name in said.levels]
            assert any(node in tree.ancestors[:, number] for number in numbers)
        assert not said.experts or labelled.names[node] in said.experts
        gone = {name for name in said.exclude if name not in labelled.types}
        assert not gone & {labelled.names[n] for n in tree.path(node)}
        assert not {name for name in said.exclude if name in tasks_of(labelled)} & {kind}
    if said.degrees and not (said.levels or said.experts):
        assert all(degree_of(labelled.names[node]) for node in np.flatnonzero(mask[1:]) + 1)


def test_nothing_allowed_is_refused_by_the_routers() -> None:
    routers = Routers(4, torch.from_numpy(PLAIN.tree.ancestors.astype(np.int64)))
    with pytest.raises(ShapeError, match="at least one"):
        routers(torch.zeros(1, 4), allowed=torch.zeros(len(PLAIN.names), dtype=torch.bool))


def test_the_level_is_chosen_among_those_of_the_leaf() -> None:
    usable = np.array([[False, True, False], [True, False, True]])
    leaf, level = np.array([0.9, 0.1], np.float32), np.array([0.5, 0.1, 0.4], np.float32)
    assert top(leaf, level, usable) == (0, 1)
    assert top(leaf[::-1], level, usable) == (1, 0)
    assert np.allclose(conditional(level, usable), np.array([[0, 1, 0], [5 / 9, 0, 4 / 9]]))


# A trained model


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    folder = tmp_path_factory.mktemp("instructed")
    run_pipeline(make_run(folder, "micro"))
    return Mixture(open_registry(folder / "micro"), load_catalogue())


def test_every_task_and_word_leads_a_trained_model_to_that_damage(mixture: Mixture) -> None:
    image = torch.rand(1, 3, 48, 48)
    for task in mixture.tasks:
        for word in (task, *WORDS[task]):
            estimate = mixture.estimate(image, mixture.allowed(Instruction.of(word)))
            assert estimate.task == task
            assert estimate.types[task] == pytest.approx(1)
            assert len(estimate.path) > 1


def test_every_expert_and_level_of_a_trained_model_can_be_named(mixture: Mixture) -> None:
    image = torch.rand(1, 3, 48, 48)
    for number, name in enumerate(mixture.node_names):
        for said in (name, number):
            estimate = mixture.estimate(image, mixture.allowed(Instruction.of(expert=said)))
            assert (estimate.node, estimate.path[-1]) == (number, name)
    for number, name in enumerate(mixture.level_names):
        estimate = mixture.estimate(image, mixture.allowed(Instruction.of(level=name.lower())))
        assert estimate.node in mixture.hierarchy.ancestors[:, number]
        assert sum(estimate.types.values()) == pytest.approx(1)


def test_what_is_excluded_is_never_chosen_until_only_the_root_is_left(mixture: Mixture) -> None:
    image, excluded = torch.rand(1, 3, 48, 48), list[str]()
    for _ in mixture.node_names:
        allowed = mixture.allowed(Instruction.of(exclude=excluded))
        estimate = mixture.estimate(image, allowed)
        named = {name for name, _ in estimate.alternatives} | {mixture.node_names[n] for n, _ in estimate.experts}
        if allowed is not None:
            forbidden = {name for name, free in zip(mixture.node_names, allowed, strict=True) if not free}
            assert not forbidden & (named | {estimate.path[-1]})
        if estimate.node == 0:
            break
        excluded.append(estimate.path[-1])
    else:
        pytest.fail("the root was never chosen")
    assert len(excluded) > 0
