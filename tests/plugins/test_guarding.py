"""What a third party's ``build`` raises later is one line that names the thing, its distribution and the remedy."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from torch import nn

from unirestorer.core import (
    Catalogue,
    ClustererSpec,
    Config,
    ExpertSpec,
    ExtractorSpec,
    Prompts,
    SynthesizerSpec,
)
from unirestorer.core.errors import ConfigError, PluginError
from unirestorer.plugins.guarding import Source, guarded
from unirestorer.plugins.manager import load_catalogue

SOURCE = Source("acme", "acme-dist", "1.2", lambda: None)
REMEDY = "upgrade or uninstall acme-dist, or set UNIRESTORER_DISABLE_PLUGINS=acme"


class Odd(BaseException):
    """Neither an ``Exception`` nor an exit."""


def throw(error: BaseException, *arguments: Any) -> Any:
    raise error


def expert(build: Any) -> Any:
    return guarded("expert", ExpertSpec("mine", "does little", Config, build), SOURCE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("two\nlines"), "ValueError: two lines"),
        (SystemExit(3), "SystemExit: 3"),
        (Odd(), "Odd"),
        (RecursionError("too deep"), "RecursionError: too deep"),
    ],
)
def test_whatever_build_raises_is_one_line_for_the_user(error: BaseException, reason: str) -> None:
    with pytest.raises(PluginError) as caught:
        expert(partial(throw, error)).build(Config())
    assert str(caught.value) == f"expert 'mine' of acme-dist 1.2: build: {reason}; {REMEDY}"
    assert caught.value.__cause__ is error


def test_a_missing_module_is_named() -> None:
    with pytest.raises(PluginError, match="No module named 'gone'; install the module 'gone', upgrade or uninstall"):
        expert(lambda config: __import__("gone")).build(Config())


@pytest.mark.parametrize("error", [ConfigError("width: too large"), KeyboardInterrupt()])
def test_errors_for_the_user_and_ctrl_c_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        expert(partial(throw, error)).build(Config())
    assert caught.value is error


def test_a_result_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(PluginError) as caught:
        expert(lambda config: None).build(Config())
    reason = "build: returned NoneType, which has no forward, state_dict"
    assert str(caught.value) == f"expert 'mine' of acme-dist 1.2: {reason}; {REMEDY}"


def test_what_is_printed_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PluginError):
        expert(lambda config: print("loud")).build(Config())  # noqa: T201
    assert capsys.readouterr() == ("", "loud\n")


OPTIONAL: list[tuple[str, Any, str]] = [
    ("extractor", ExtractorSpec, field)
    for field in ("objective", "training_side", "pretrained", "files", "calibrate", "labelled")
] + [("expert", ExpertSpec, field) for field in ("revive", "over", "recognise")]


@pytest.mark.parametrize(("kind", "make", "field"), OPTIONAL)
def test_every_other_function_of_a_spec_is_guarded_too(kind: str, make: Any, field: str) -> None:
    spec = guarded(kind, make("mine", "", Config, print, **{field: partial(throw, ValueError("no"))}), SOURCE)
    with pytest.raises(PluginError, match=rf"{kind} 'mine' of acme-dist 1\.2: {field}: ValueError: no; "):
        getattr(spec, field)(Config(), Prompts((), ()))
    assert getattr(guarded(kind, make("mine", "", Config, print), SOURCE), field) is None


def test_what_revive_and_over_make_must_be_a_network() -> None:
    for field in ("revive", "over"):
        made: Any = {field: lambda config, given: None}
        spec: Any = guarded("expert", ExpertSpec("mine", "", Config, **made), SOURCE)
        with pytest.raises(PluginError, match=f"{field}: returned NoneType, which has no forward, state_dict"):
            getattr(spec, field)(Config(), None)


def test_a_working_build_gives_what_the_plugin_made() -> None:
    from torch import nn

    network = nn.Identity()
    assert expert(lambda config: network).build(Config()) is network


def test_builtins_are_not_wrapped() -> None:
    build = load_catalogue().expert("resunet").build
    assert build is not None
    assert build.__module__ == "unirestorer.plugins.experts"


def test_what_a_network_raises_when_it_is_used_is_one_line_too() -> None:
    from torch import nn

    class Broken(nn.Module):
        def forward(self, images: Any) -> Any:
            raise images

    network = expert(lambda config: Broken()).build(Config())
    with pytest.raises(PluginError) as caught:
        network(IndexError("off by one"))
    assert str(caught.value) == f"expert 'mine' of acme-dist 1.2: forward: IndexError: off by one; {REMEDY}"
    for passing in (MemoryError(), RuntimeError("can't allocate memory"), ConfigError("patch: too small")):
        with pytest.raises(type(passing)) as raised:
            network(passing)
        assert raised.value is passing


@pytest.mark.parametrize(
    ("kind", "method"), [("degradation", "apply"), ("degradation", "sample"), ("clusterer", "fit")]
)
def test_what_other_things_raise_when_they_are_used_is_one_line_too(kind: str, method: str) -> None:
    class Broken:
        sample = apply = degree = fit = partial(throw, KeyError("beta"))
        made_by = "acme"

    build: Any = lambda config: Broken()  # noqa: E731
    spec: Any = (SynthesizerSpec if kind == "degradation" else ClustererSpec)("mine", "", Config, build)
    watched: Any = guarded(kind, spec, SOURCE)
    made: Any = watched.build(Config())
    with pytest.raises(PluginError, match=f"{kind} 'mine' of acme-dist 1.2: {method}: KeyError: 'beta'; upgrade"):
        getattr(made, method)(1)
    assert made.made_by == "acme"


def test_an_adapter_is_watched_where_it_is_merged_too() -> None:
    class Broken(nn.Module):
        def merged(self) -> None:
            throw(KeyError("rank"))

    def over(make: Any) -> Any:
        spec = guarded("expert", ExpertSpec("mine", "", Config, over=make), SOURCE)
        assert isinstance(spec, ExpertSpec)
        assert spec.over is not None
        return spec.over(Config(), nn.Identity())

    with pytest.raises(PluginError, match=r"expert 'mine' of acme-dist 1\.2: merged: KeyError: 'rank'"):
        over(lambda config, base: Broken()).merged()
    with pytest.raises(PluginError, match="over: returned Identity, which has no merged"):
        over(lambda config, base: base)


@pytest.mark.parametrize("labelled", [False, True])
def test_a_flag_of_a_spec_stays_a_flag(labelled: bool) -> None:
    spec = ClustererSpec("mine", "", Config, lambda config: None, labelled=labelled)
    watched = guarded("clusterer", spec, SOURCE)
    assert isinstance(watched, ClustererSpec)
    assert watched.labelled is labelled


def test_the_catalogue_says_where_a_thing_comes_from() -> None:
    catalogue = Catalogue(origins={("expert", "mine"): SOURCE.label})
    assert catalogue.origin("expert", "mine") == "acme-dist 1.2"
    assert catalogue.origin("extractor", "mine") == ""
    assert load_catalogue().origin("expert", "resunet") == ""
