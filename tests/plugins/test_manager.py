from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from unirestorer.core import StageReport
from unirestorer.plugins.manager import load_catalogue

if TYPE_CHECKING:
    from .conftest import Site

GOOD = """
    @hookimpl
    def register_experts():
        return [expert("mine")]
"""
BROKEN = {
    "import error": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "exit at import": ("import sys; sys.exit('go away')", "SystemExit: go away"),
    "unknown hook": ("@hookimpl\ndef register_experst(): return []", "unknown hook 'register_experst'"),
    "unknown argument": ("@hookimpl\ndef register_experts(colour): return []", "colour"),
    "no hook": ("def register_experts(): return []", "implements no hook"),
    "raises": ("@hookimpl\ndef register_experts(): return 1 / 0", "register_experts: ZeroDivisionError"),
    "exit in hook": ("@hookimpl\ndef register_experts(): raise SystemExit(3)", "register_experts: SystemExit: 3"),
    "None": ("@hookimpl\ndef register_experts(): pass", "returned NoneType, wanted a list of ExpertSpec"),
    "no list": ("@hookimpl\ndef register_experts(): return expert('x')", "returned ExpertSpec, wanted a list"),
    "wrong spec": ("@hookimpl\ndef register_extractors(): return [expert('x')]", "wanted only ExtractorSpec"),
    "bad name": ("@hookimpl\ndef register_experts(): return [expert('Big Net')]", "bad name 'Big Net'"),
    "bad config": (
        "@hookimpl\ndef register_experts(): return [ExpertSpec('x', 'y', dict, print)]",
        "config of 'x' is <class 'dict'>",
    ),
    "taken from a built-in": (
        "@hookimpl\ndef register_experts(): return [expert('fresh'), expert('resunet')]",
        "expert 'resunet' is registered by unirestorer.plugins.experts and again by broken",
    ),
    "twice by itself": (
        "@hookimpl\ndef register_experts(): return [expert('x'), expert('x')]",
        "expert 'x' is registered by broken and again by broken",
    ),
}


def test_a_good_plugin_is_listed_with_its_distribution_and_version(site: Site) -> None:
    site.install("acme", GOOD)
    row = {"kind": "expert", "name": "mine", "summary": "does little", "state": "ok"}
    assert site.rows() == [{**row, "distribution": "acme-dist", "version": "1.2"}]


def test_the_catalogue_holds_what_a_plugin_registered(site: Site) -> None:
    site.install("acme", GOOD)
    code = "from unirestorer.plugins.manager import load_catalogue; print(load_catalogue().expert('mine').summary)"
    assert site.run(code).stdout == "does little\n"


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_reported_and_the_others_work(site: Site, source: str, reason: str) -> None:
    site.install("broken", source)
    site.install("later", GOOD)
    broken, later = site.rows()
    assert (broken["kind"], broken["name"], broken["distribution"]) == ("plugin", "broken", "broken-dist")
    assert broken["state"].startswith("failed: ")
    assert reason in broken["state"]
    assert (later["name"], later["state"]) == ("mine", "ok")


def test_a_failure_is_logged_with_plugin_distribution_and_reason(site: Site) -> None:
    site.install("broken", "import no_such_module")
    stderr = site.run("from unirestorer.plugins.manager import load_catalogue; load_catalogue()").stderr
    assert stderr.startswith("plugin 'broken' of broken-dist 1.2 failed: ModuleNotFoundError")
    assert stderr.count("\n") == 1


def test_a_raising_hook_does_not_discard_the_other_hooks_of_its_plugin(site: Site) -> None:
    site.install("half", GOOD + "\n    @hookimpl\n    def register_clusterers(): return 1 / 0\n")
    assert {row["name"]: row["state"] for row in site.rows()} == {
        "half": "failed: register_clusterers: ZeroDivisionError: division by zero",
        "mine": "ok",
    }


def test_of_two_third_parties_with_one_name_the_later_is_refused_whole(site: Site) -> None:
    site.install("aaa", GOOD)
    site.install("bbb", "@hookimpl\ndef register_experts(): return [expert('own'), expert('mine')]")
    first, second = site.rows()
    assert (first["name"], first["distribution"], first["state"]) == ("mine", "aaa-dist", "ok")
    assert "expert 'mine' is registered by aaa and again by bbb" in second["state"]


def test_one_name_may_serve_two_kinds(site: Site) -> None:
    source = "\n    @hookimpl\n    def register_clusterers(): return [ClustererSpec('mine', '', Empty, print)]\n"
    site.install("acme", GOOD + source)
    assert [(row["kind"], row["name"], row["state"]) for row in site.rows()] == [
        ("expert", "mine", "ok"),
        ("clusterer", "mine", "ok"),
    ]


@pytest.mark.parametrize("names", ["acme", "other, acme-dist", "all"])
def test_a_disabled_plugin_is_listed_but_never_imported(site: Site, names: str) -> None:
    site.install("acme", "import os; os._exit(9)")
    (row,) = site.rows(UNIRESTORER_DISABLE_PLUGINS=names)
    assert (row["name"], row["state"]) == ("acme", "disabled")


def test_a_distribution_without_metadata_still_works(site: Site) -> None:
    site.install("acme", GOOD, metadata=False)
    (row,) = site.rows()
    assert (row["name"], row["distribution"], row["version"], row["state"]) == ("mine", "unknown", "unknown", "ok")


def test_tracing_prints_every_hook_call_with_the_plugin_to_stderr(site: Site) -> None:
    site.install("acme", GOOD)
    code = "from unirestorer.plugins.manager import load_catalogue; load_catalogue()"
    stderr = site.run(code, UNIRESTORER_TRACE_PLUGINS="1").stderr
    assert "plugin acme:   register_experts [hook]" in stderr
    assert "plugin unirestorer.plugins.experts:   register_experts [hook]" in stderr
    assert site.run(code).stderr == ""


def test_two_builtins_with_one_name_are_a_hard_error(site: Site) -> None:
    site.install("acme", GOOD)
    site.install("twin", GOOD)
    code = "from unirestorer.plugins import manager; manager.BUILTINS = ('acme', 'twin'); manager.load_catalogue()"
    done = site.run(code)
    assert done.returncode == 1
    assert "PluginConflictError: expert 'mine' is registered by acme and again by twin" in done.stderr


def test_a_broken_builtin_raises(site: Site) -> None:
    site.install("acme", "@hookimpl\ndef register_experts(): return 1 / 0")
    done = site.run("from unirestorer.plugins import manager; manager.BUILTINS = ('acme',); manager.load_catalogue()")
    assert "ZeroDivisionError" in done.stderr
    assert done.returncode == 1


def test_a_raising_observer_is_reported_and_the_others_are_told(site: Site) -> None:
    site.install("angry", "@hookimpl\ndef stage_finished(): raise SystemExit('no')")
    site.install("calm", "@hookimpl\ndef stage_finished(stage, report): print(stage, report.seconds)")
    code = (
        "from unirestorer.core import StageReport; from unirestorer.plugins.manager import load_catalogue;"
        "load_catalogue().notify(StageReport('cluster', 'done', 1.5))"
    )
    done = site.run(code)
    assert done.stdout == "cluster 1.5\n"
    assert done.stderr == "plugin 'angry' failed: stage_finished: SystemExit: no\n"


def test_the_catalogue_is_loaded_once() -> None:
    assert load_catalogue() is load_catalogue()


@pytest.mark.parametrize(("skipped", "ending"), [(False, "(2.5 s)"), (True, "(up to date)")])
def test_progress_logs_one_line_per_stage(caplog: pytest.LogCaptureFixture, skipped: bool, ending: str) -> None:
    with caplog.at_level(logging.INFO, logger="unirestorer.progress"):
        load_catalogue().notify(StageReport("cluster", "19 leaves", 2.5, skipped=skipped))
    assert caplog.messages == [f"cluster: 19 leaves {ending}"]
