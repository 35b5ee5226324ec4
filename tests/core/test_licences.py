"""Licences of experts: what is stated, what allows commercial use, and how that prunes the tree and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from unirestorer.core.contracts import Config, ExpertSpec, Record
from unirestorer.core.errors import ConfigError, UnknownNameError
from unirestorer.core.images import Picture
from unirestorer.core.instruction import Instruction
from unirestorer.core.licences import PERMISSIVE, Licence, forgone, licence_of, permits, stated, within_licence
from unirestorer.core.mixture import Estimate, Mixture
from unirestorer.core.models import license_experts
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.restoring import Restorer
from unirestorer.core.treatment import Treatment
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import export_zip, open_registry, verify

from .healing import NODES, Healing, found, photo
from .tiny_world import make_run

CATALOGUE = load_catalogue()
COMMERCIAL = Instruction(licence="commercial")
DAMAGED = Instruction(exclude=("clean",))
FREE, OWNED, NOT_STATED = Licence("MIT", "MIT"), Licence("MIT", "LicenseRef-commercial"), Licence("MIT", "")


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        *((name, True) for name in sorted(PERMISSIVE)),
        ("LicenseRef-commercial", True),
        ("mit", True),
        ("MIT AND Apache-2.0", True),
        ("MIT OR CC-BY-NC-4.0", True),
        ("(CC-BY-NC-4.0 OR MIT) AND Zlib", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0 WITH LLVM-exception AND MIT", True),
        ("", False),
        ("see spandrel", False),
        ("Apache-2.0 and others, see spandrel", False),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-NC-SA-4.0: non-commercial use only", False),
        ("MIT AND CC-BY-NC-4.0", False),
        ("CC-BY-NC-4.0 AND (MIT OR Apache-2.0)", False),
        ("MIT OR", False),
        ("(MIT", False),
        ("MIT)", False),
        ("()", False),
        ("AND", False),
        ("MIT Apache-2.0", False),
        ("LicenseRef-Proprietary", False),
        ("GPL-3.0-only", False),
    ],
)
def test_what_allows_commercial_use(expression: str, allowed: bool) -> None:
    assert permits(expression) is allowed


@pytest.mark.parametrize(
    "text", ["", "  ", "my own", "CC BY-NC 4.0!", "MIT;", "a\nb/c", "MIT AND", "(MIT", "MIT)", "OR MIT"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    assert not permits(text)
    with pytest.raises(ConfigError, match="wanted an SPDX expression"):
        stated(text)


def test_code_and_weights_both_have_to_allow_it() -> None:
    spec = ExpertSpec("net", "", Config, licence="Apache-2.0")
    record = {"arch": "net", "config": {}}
    assert licence_of(record, spec) == Licence("Apache-2.0", "")
    assert not licence_of(record, spec).commercial
    assert licence_of({**record, "licence": "MIT"}, spec).commercial
    assert not licence_of({**record, "licence": "CC-BY-NC-4.0"}, spec).commercial
    assert not licence_of({**record, "licence": "MIT"}, None).commercial, "an architecture that is not installed"
    own = {**record, "config": {"licence": "CC-BY-NC-4.0"}, "licence": "MIT"}
    assert str(licence_of(own, spec)) == "code CC-BY-NC-4.0, weights MIT"
    assert licence_of({"arch": "identity", "config": {}}, None).commercial


def test_an_adapter_is_under_its_own_licence_and_that_of_its_base() -> None:
    spec = ExpertSpec("lora", "", Config, licence="MIT")
    record = {"arch": "lora", "config": {}, "licence": "MIT"}
    assert licence_of(record, spec, Licence("Apache-2.0", "MIT")).commercial
    assert not licence_of(record, spec, Licence("Apache-2.0", "")).commercial
    assert not licence_of(record, spec, Licence("CC-BY-NC-4.0", "MIT")).commercial


def test_pruning_says_when_nothing_is_left() -> None:
    names, identity = ("all", "rain", "clean"), Licence("Apache-2.0", "", free=True)
    assert within_licence("commercial", None, (NOT_STATED, OWNED, identity), names).tolist() == [False, True, True]
    only = np.array([True, False, True])
    assert within_licence("commercial", only, (FREE, NOT_STATED, identity), names).tolist() == [True, False, True]
    with pytest.raises(ConfigError) as caught:
        within_licence("commercial", only, (NOT_STATED, FREE, identity), names)
    assert str(caught.value) == (
        "--license commercial: no expert is left that restores anything; 1 may not be used (all): code MIT, weights "
        "not stated; use another model, or state the licence of weights that you own (unirestorer registry license)"
    )
    clean = np.array([False, False, True])
    assert within_licence("commercial", clean, (NOT_STATED, FREE, identity), names).tolist() == [False, False, True]
    with pytest.raises(UnknownNameError, match="unknown licence 'free'"):
        within_licence("free", None, (FREE, FREE, identity), names)


def test_the_cost_is_told() -> None:
    line = forgone(NOT_STATED, found(2, sure=0.83), found(1), (0.42, 17))
    assert line == (
        "--license commercial: rain/heavy (probability 0.83; code MIT, weights not stated) may not be used; rain "
        "instead, 0.42 dB worse on 17 samples of such damage"
    )
    assert forgone(NOT_STATED, found(2), found(1), None).endswith("how much worse is unknown: the model keeps no costs")


@dataclass
class Pruned(Healing):
    """Of which only the identity may be used commercially."""

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        return np.array([name == "clean" for name in NODES]) if instruction.licence else None

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        return found(2) if allowed is None else found(5, undamaged=1.0)

    def forgone(self, free: Estimate, taken: Estimate) -> str:
        return f"{free.path[-1]} forgone"


def test_a_photo_whose_experts_are_barred_is_not_said_to_look_undamaged() -> None:
    restorer = Restorer(Pruned(lambda _: found(2)))
    done = restorer.restore(photo(), COMMERCIAL)
    assert done.unchanged
    assert done.why == "no expert that may be used would help"
    assert done.notes == ("rain/heavy forgone",)
    assert restorer.restore(photo(), COMMERCIAL, Treatment(strength=0)).why == "strength 0"


def test_an_instruction_says_it() -> None:
    said = Instruction.of(task="rain", licence="commercial")
    assert str(said) == "--task rain --license commercial"
    assert said.said == {"task": ("rain",), "license": ("commercial",)}
    assert said
    assert COMMERCIAL
    assert not Instruction.of(licence=None)


# In a registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("licences")
    run_pipeline(make_run(folder, "whole"))
    return folder / "whole"


def noisy() -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def test_a_model_whose_weights_nobody_states_is_refused(registry: Path) -> None:
    mixture = Mixture(open_registry(registry), CATALOGUE)
    with pytest.raises(ConfigError, match=r"no expert is left that restores anything.*weights not stated"):
        Restorer(mixture).restore(noisy(), COMMERCIAL)
    with pytest.raises(UnknownNameError, match="unknown licence 'mine'; known: commercial"):
        mixture.allowed(Instruction(licence="mine"))


def test_only_experts_that_may_be_used_are_chosen_and_the_cost_is_said(registry: Path) -> None:
    mixture = Mixture(open_registry(registry), CATALOGUE)
    usual = Restorer(mixture).restore(noisy(), DAMAGED)
    before = mixture.sha256("all")
    with open_registry(registry) as store:
        assert license_experts(store, "default", "MIT", ["all"]) == ["micro/0"]
        assert verify(store) == []
    mixture = Mixture(open_registry(registry), CATALOGUE)
    assert mixture.sha256("all") == before
    left = mixture.allowed(COMMERCIAL)
    assert left is not None
    named = {mixture.node_names[node] for node in np.flatnonzero(left)}
    assert named == {"all"} | {name for name in mixture.node_names if mixture.sha256(name) is None}
    done = Restorer(mixture).restore(noisy(), replace(DAMAGED, licence="commercial"))
    assert usual.estimate.path[-1] != "all"
    assert done.experts == ("all",)
    assert len(done.notes) == 1 + usual.estimate.unknown
    told = done.notes[-1]
    assert f"{usual.estimate.path[-1]} (probability" in told
    assert "weights not stated) may not be used; all instead" in told
    assert " dB " in told
    assert " samples of such damage" in told
    allowed = Restorer(mixture).restore(noisy(), Instruction.of(level="ALL", licence="commercial"))
    assert allowed.experts == ("all",)
    assert len(allowed.notes) == usual.estimate.unknown, "nothing was given up"


def test_a_licence_stays_in_an_export(registry: Path, tmp_path: Path) -> None:
    with open_registry(registry) as store:
        names = license_experts(store, "default", "LicenseRef-commercial")
        assert len(names) == sum(store.attributes("experts", name)["sha256"] is not None for name in names) > 2
        export_zip(store, tmp_path / "model.zip", model="default", half=True)
    mixture = Mixture(open_registry(tmp_path / "model.zip"), CATALOGUE)
    assert all(licence.commercial for licence in mixture.licences)
    done = Restorer(mixture).restore(noisy(), COMMERCIAL)
    assert done.experts == Restorer(mixture).restore(noisy()).experts
    assert not any("--license" in note for note in done.notes)


def test_a_licence_that_is_no_text_is_refused_by_the_registry(registry: Path) -> None:
    with open_registry(registry) as store:
        record = store.read("experts", "micro/0")
        with pytest.raises(OSError, match="attribute 'licence' is 7, wanted string"):
            store.write(
                {("experts", "micro/0"): Record(record.arrays, {**record.attributes, "licence": 7})},
                message="",
                author="test",
            )
