"""The conformance kit notices every broken rule, and nothing else; with pytest and without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unirestorer.core.contracts import ExpertSpec, Spec
from unirestorer.core.testing import CheckResult, check_spec, contract_of

from .mutants import MUTANTS, with_damage
from .sample_plugins import MenderConfig, fog, gain, halves, mender, probe

ROOT = Path(__file__).parents[2]
PLUGIN = "unirestorer.core.testing.pytest_plugin"
GOOD: dict[str, Spec] = {"synthesizer": fog(), "extractor": probe(), "expert": mender(), "clusterer": halves()}
MODULE = """
from unirestorer.core import Config, SynthesizerSpec, hookimpl

class FadeConfig(Config):
    share: tuple[float, float] = (0.2, 0.8)

class Fade:
    def __init__(self, config):
        self.low, self.high = config.share

    def sample(self, n, generator):
        import torch
        return {"share": self.low + (self.high - self.low) * torch.rand(n, generator=generator)}

    def apply(self, clean, params):
        return (clean * (1 - params["share"].view(-1, 1, 1, 1))SHIFT).contiguous()

    def degree(self, params):
        return ["any"] * len(params["share"])

SPEC = SynthesizerSpec("fade", "darker", FadeConfig, Fade, identity=FadeConfig(share=(0, 0)))

@hookimpl
def register_synthesizers():
    return [SPEC]
"""
TEST = """
from unirestorer.core.testing import SynthesizerContract
from fade import SPEC

class TestFade(SynthesizerContract):
    spec = SPEC
"""


def failures(spec: Spec) -> dict[str, CheckResult]:
    return {result.rule.replace(" ", "_"): result for result in check_spec(spec) if not result.passed}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_plugin_passes_every_rule(kind: str) -> None:
    results = list(check_spec(GOOD[kind]))
    assert [result for result in results if not result.passed or result.detail] == []
    assert len(results) == len(contract_of(GOOD[kind]).rules()) > 7


@pytest.mark.parametrize(("spec", "rules"), MUTANTS.values(), ids=MUTANTS)
def test_a_broken_plugin_fails_exactly_the_rules_that_it_breaks(spec: Spec, rules: set[str]) -> None:
    found = failures(spec)
    assert set(found) == rules, [result.detail for result in found.values()]
    for result in found.values():
        assert len(result.detail.splitlines()) == 1
        assert "raised " in result.detail or (": got " in result.detail and ", wanted " in result.detail)


@pytest.mark.parametrize("kind", GOOD)
def test_every_rule_is_broken_by_some_plugin(kind: str) -> None:
    noticed = {rule for name, (_, rules) in MUTANTS.items() if name.startswith(kind) for rule in rules}
    assert {rule.removeprefix("test_") for rule in contract_of(GOOD[kind]).rules()} == noticed


def test_an_adapter_keeps_the_rules_of_experts_and_its_own() -> None:
    results = list(check_spec(gain()))
    assert [result for result in results if not result.passed or result.detail] == []
    noticed = {rule for name, (_, rules) in MUTANTS.items() if name.startswith("adapter") for rule in rules}
    own = set(contract_of(gain()).rules()) - set(contract_of(mender()).rules())
    assert {rule.removeprefix("test_") for rule in own} <= noticed


def test_a_network_made_of_a_file_keeps_the_rule_of_its_spec_and_no_other_applies() -> None:
    spec = ExpertSpec("relic", "found in a file", MenderConfig, revive=lambda config, state: torch.nn.Identity())
    results = {result.rule: result for result in check_spec(spec)}
    assert all(result.passed for result in results.values())
    assert [rule for rule, result in results.items() if not result.detail] == ["spec is well formed"]


def test_whatever_a_plugin_raises_is_one_line_of_its_failed_rules() -> None:
    def leave(*arguments: object) -> None:
        raise SystemExit("first\nsecond " + "long " * 200)

    details = {result.detail for result in failures(fog(with_damage(leave))).values()}
    assert len(details) == 1
    (detail,) = details
    assert detail.startswith("raised SystemExit: first second long")
    assert len(detail) <= 400


def test_a_build_that_raises_does_not_stop_the_check() -> None:
    assert set(failures(mender(lambda config: 1 / 0))) > {"repeatable", "weights_come_back"}


def test_rules_that_do_not_apply_pass_and_say_so() -> None:
    specs: list[Spec] = [fog(identity=None), probe(objective=None), mender(lambda config: torch.nn.Identity())]
    for spec in specs:
        results = [result for result in check_spec(spec) if result.detail]
        assert [(result.passed, result.detail[:16]) for result in results] == [(True, "does not apply: ")]


def test_what_is_no_spec_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"no contract for int, wanted one of SynthesizerSpec"):
        list(check_spec(3))  # type: ignore[arg-type]


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str], Path]:
    """``install(shift)`` makes the distribution ``fade-dist`` with the plugin ``fade``, right where ``shift`` is ""."""

    def make(shift: str = "") -> Path:
        site, info = tmp_path / "site", tmp_path / "site" / "fade_dist-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "fade.py").write_text(MODULE.replace("SHIFT", shift))
        (site / "test_fade.py").write_text(TEST)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fade-dist\nVersion: 1.0\n")
        entries = {"unirestorer.plugins": "fade = fade", "pytest11": f"unirestorer = {PLUGIN}"}
        (info / "entry_points.txt").write_text("".join(f"[{group}]\n{line}\n" for group, line in entries.items()))
        return site

    return make


def run_pytest(site: Path, *arguments: str, load: tuple[str, ...] = ("-p", PLUGIN)) -> subprocess.CompletedProcess[str]:
    """Pytest as a plugin's author runs it in ``site``; the kit's plugin comes by ``load`` and by its entry point."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("UNIRESTORER_", "PYTEST"))}
    variables |= {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *load, "-p", "no:cacheprovider", "--tb=short", *arguments]
    return subprocess.run(command, cwd=site, env=variables, capture_output=True, text=True)


def test_rules_hold_without_assert_statements(
    install: Callable[[str], Path], run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from unirestorer.core.testing import check_spec; from fade import SPEC\n"
        "print([r.rule for r in check_spec(SPEC) if not r.passed], __debug__)"
    )
    done = run_python(code, install(" + 0.5"), PYTHONOPTIMIZE="1")
    assert done.stdout == "['any size', 'identity at zero strength'] False\n", done.stderr


def test_five_lines_of_an_author_run_every_rule(install: Callable[[str], Path]) -> None:
    done = run_pytest(install(""), "test_fade.py")
    assert f"{len(contract_of(fog()).rules())} passed" in done.stdout, done.stdout + done.stderr


def test_a_broken_rule_is_a_failed_test_with_a_message_that_says_it_all(install: Callable[[str], Path]) -> None:
    done = run_pytest(install(" + 0.5"), "test_fade.py")
    assert "preset 'in': apply to 1 x 1 pixels: got values in [" in done.stdout, done.stdout + done.stderr
    assert "wanted values in [0, 1]" in done.stdout
    assert "2 failed" in done.stdout


def test_the_option_checks_installed_plugins_by_name_and_by_distribution(install: Callable[[str], Path]) -> None:
    site = install("")
    (site / "test_fade.py").unlink()
    done = run_pytest(site, "-v", "--unirestorer-check=fade", "--unirestorer-check=identity", "-k", "well_formed")
    assert "degradation fade::spec_is_well_formed PASSED" in done.stdout, done.stdout + done.stderr
    assert "expert identity::spec_is_well_formed PASSED" in done.stdout
    assert "2 passed" in done.stdout
    assert f"{len(contract_of(fog()).rules())} passed" in run_pytest(site, "--unirestorer-check=fade-dist").stdout


def test_the_option_shows_broken_rules_in_one_line_each(install: Callable[[str], Path]) -> None:
    site = install(" + 0.5")
    (site / "test_fade.py").unlink()
    done = run_pytest(site, "--unirestorer-check=fade")
    assert done.returncode == 1, done.stderr
    assert "\npreset 'in': apply to 1 x 1 pixels: got values in [" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(("name", "reason"), [("mist", "not registered; known: "), ("fade-dist", "failed: ")])
def test_the_option_refuses_what_it_cannot_check(install: Callable[[str], Path], name: str, reason: str) -> None:
    site = install("")
    if name == "fade-dist":
        (site / "fade.py").write_text("import no_such_module")
    done = run_pytest(site, f"--unirestorer-check={name}")
    assert done.returncode == 4
    assert f"ERROR: --unirestorer-check {name}: {reason}" in done.stdout + done.stderr


def test_the_plugin_loads_no_torch_and_offers_fixtures(install: Callable[[str], Path]) -> None:
    site = install("")
    lines = (
        "import sys",
        "EARLY = 'torch' in sys.modules",
        "def test_it(clean_images, representations):",
        "    assert not EARLY",
        "    assert clean_images(3, 5, 7).shape == (3, 3, 5, 7)",
        "    assert (clean_images() == clean_images()).all()",
        "    assert representations(4, 2).shape == (4, 2)",
    )
    (site / "test_fade.py").write_text("\n".join(lines))
    done = run_pytest(site, load=())
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "unirestorer:" not in done.stdout
