from __future__ import annotations

import json
import logging
from importlib.metadata import version
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
HOOK = "@hookimpl\ndef register_experts(): "
SYNTHESIZERS = "@hookimpl\ndef register_synthesizers(): "
BROKEN = {
    "import error": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'; install the mod"),
    "import of a name that is gone": ("from unirestorer.core import Gone", "ImportError: cannot import name 'Gone'"),
    "raises at import": ("1 / 0", "ZeroDivisionError: division by zero"),
    "exit at import": ("import sys; sys.exit('go away')", "SystemExit: go away"),
    "silent exit at import": ("raise SystemExit", "SystemExit"),
    "bare exception at import": ("class Odd(BaseException): pass\nraise Odd('strange')", "Odd: strange"),
    "endless recursion": ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
    "syntax error": ("def f(:", "SyntaxError: invalid syntax (broken.py, line"),
    "message that raises": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "Odd: a message that cannot be printed",
    ),
    "long message": ("raise ValueError('x' * 10**6)", "ValueError: " + 400 * "x" + " ..."),
    "unknown hook": (
        "@hookimpl\ndef register_experst(): return []",
        "unknown hook 'register_experst'; did you mean 'register_experts'? Known: register_synthesizers, ",
    ),
    "hook from nowhere": ("@hookimpl\ndef zzz(): return []", "unknown hook 'zzz'; known: register_synthesizers, "),
    "unknown argument": ("@hookimpl\ndef register_experts(colour): return []", "colour"),
    "no hook": ("def register_experts(): return []", "implements no hook"),
    "raises": (HOOK + "return 1 / 0", "register_experts: ZeroDivisionError"),
    "exit in hook": (HOOK + "raise SystemExit(3)", "register_experts: SystemExit: 3"),
    "bare exception in hook": (HOOK + "raise BaseException('odd')", "register_experts: BaseException: odd"),
    "None": (HOOK + "pass", "returned NoneType, wanted a list of ExpertSpec"),
    "no list": (HOOK + "return expert('x')", "returned ExpertSpec, wanted a list"),
    "wrong spec": ("@hookimpl\ndef register_extractors(): return [expert('x')]", "wanted only ExtractorSpec"),
    "bad name": (HOOK + "return [expert('Big Net')]", "bad name 'Big Net'"),
    "bad summary": (HOOK + "return [ExpertSpec('x', 3, Empty, print)]", "summary of 'x' is 3, wanted a string"),
    "bad config": (HOOK + "return [ExpertSpec('x', 'y', dict, print)]", "config of 'x' is <class 'dict'>"),
    "bad build": (HOOK + "return [ExpertSpec('x', 'y', Empty, 7)]", "build of 'x' is 7, wanted a function"),
    "no build": (
        HOOK + "return [ExpertSpec('x', 'y', Empty)]",
        "'x' has no function, wanted one of build, revive, over",
    ),
    "two builds": (
        HOOK + "return [ExpertSpec('x', 'y', Empty, max, over=max)]",
        "'x' has build and over, wanted one of",
    ),
    "bad size": (HOOK + "return [ExpertSpec('x', 'y', Empty, print, 16)]", "size of 'x' is 16, wanted a SizeReq"),
    "bad objective": (
        "@hookimpl\ndef register_extractors(): return [ExtractorSpec('x', 'y', Empty, print, 'contrast')]",
        "objective of 'x' is 'contrast', wanted a function",
    ),
    "preset of another config": (
        SYNTHESIZERS + "return [SynthesizerSpec('x', 'y', Empty, print, {'in': Empty(), 'out': Config()})]",
        "preset 'out' of 'x' is of Config, wanted Empty",
    ),
    "half of the presets": (
        SYNTHESIZERS + "return [SynthesizerSpec('x', 'y', Empty, print, {'in': Empty()})]",
        "wanted 'in' and 'out'",
    ),
    "identity of another config": (
        SYNTHESIZERS + "return [SynthesizerSpec('x', 'y', Empty, print, identity=Config())]",
        "identity of 'x' is of Config, wanted Empty",
    ),
    "recipe that is no path": (
        SYNTHESIZERS + "return [SynthesizerSpec('x', 'y', Empty, print, recipe='r.yaml')]",
        "recipe of 'x' is 'r.yaml', wanted a pathlib.Path",
    ),
    "words that are one word": (
        SYNTHESIZERS + "return [SynthesizerSpec('x', 'y', Empty, print, words='fog')]",
        "words of 'x' are 'fog', wanted a tuple of words",
    ),
    "words that say nothing": (
        SYNTHESIZERS + "return [SynthesizerSpec('x', 'y', Empty, print, words=('fog', ' - '))]",
        "words of 'x' are ('fog', ' - '), wanted a tuple of words",
    ),
    "taken from a built-in": (
        HOOK + "return [expert('fresh'), expert('resunet')]",
        "expert 'resunet' is registered by unirestorer.plugins.experts and again by broken of broken-dist 1.2; rename",
    ),
    "twice by itself": (
        HOOK + "return [expert('x'), expert('x')]",
        "expert 'x' is registered by broken of broken-dist 1.2 and again by broken of broken-dist 1.2",
    ),
}
QUIET = "from unirestorer.plugins.manager import load_catalogue; load_catalogue()"


def test_a_good_plugin_is_listed_with_its_distribution_and_version(site: Site) -> None:
    site.install("acme", GOOD)
    row = {"kind": "expert", "name": "mine", "summary": "does little", "plugin": "acme", "state": "ok"}
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
    assert broken["state"].endswith("or set UNIRESTORER_DISABLE_PLUGINS=broken")
    assert len(broken["state"].splitlines()) == 1
    assert (later["name"], later["state"]) == ("mine", "ok")


def test_a_failure_says_what_to_do(site: Site) -> None:
    site.install("broken", "1 / 0")
    (row,) = site.rows()
    remedy = "upgrade or uninstall broken-dist, or set UNIRESTORER_DISABLE_PLUGINS=broken"
    assert row["state"] == f"failed: ZeroDivisionError: division by zero; {remedy}"


def test_the_remedy_works(site: Site) -> None:
    site.install("broken", "1 / 0")
    (row,) = site.rows()
    variable, _, value = row["state"].rpartition(" ")[2].partition("=")
    (row,) = site.rows(**{variable: value})
    assert row["state"] == "disabled"


@pytest.mark.parametrize("target", ["acme:Gone", "gone"])
def test_an_entry_point_to_something_missing_is_reported(site: Site, target: str) -> None:
    site.install("acme", GOOD, target=target)
    (row,) = site.rows()
    assert (row["kind"], row["name"], row["distribution"]) == ("plugin", "acme", "acme-dist")
    assert row["state"].startswith(("failed: AttributeError: module 'acme' has no", "failed: ModuleNotFoundError"))
    assert "upgrade or uninstall acme-dist" in row["state"]


def test_a_plugin_for_another_version_is_refused_unimported(site: Site) -> None:
    site.install("acme", "import os; os._exit(9)", requires=["unirestorer>=99,<100", "numpy"])
    (row,) = site.rows()
    assert f"needs unirestorer<100,>=99, installed is {version('unirestorer')}; pip install" in row["state"]
    assert row["state"].endswith("another version of acme-dist, or set UNIRESTORER_DISABLE_PLUGINS=acme")


def test_requirements_that_do_not_apply_or_cannot_be_read_are_no_reason(site: Site) -> None:
    elsewhere = ['UniRestorer>=99; python_version<"3"', 'unirestorer>=99; extra=="all"', ">>> 7", "unirestorer>=0.0.1"]
    site.install("acme", GOOD, requires=elsewhere)
    assert [row["state"] for row in site.rows()] == ["ok"]


def test_a_missing_dependency_is_named_as_the_distribution_requires_it(site: Site) -> None:
    site.install("acme", "import no_such_module", requires=["no-such-dist>=2", "numpy"])
    (row,) = site.rows()
    assert "No module named 'no_such_module'; pip install 'no-such-dist>=2', upgrade or uninstall" in row["state"]


def test_a_failure_is_logged_with_plugin_distribution_and_reason(site: Site) -> None:
    site.install("broken", "import no_such_module")
    stderr = site.run(QUIET).stderr
    assert stderr.startswith("plugin 'broken' of broken-dist 1.2 failed: ModuleNotFoundError")
    assert stderr.count("\n") == 1


def test_a_raising_hook_does_not_discard_the_other_hooks_of_its_plugin(site: Site) -> None:
    site.install("half", GOOD + "\n    @hookimpl\n    def register_clusterers(): return 1 / 0\n")
    states = {row["name"]: row["state"] for row in site.rows()}
    assert states.pop("half").startswith("failed: register_clusterers: ZeroDivisionError: division by zero; upgrade")
    assert states == {"mine": "ok"}


def test_of_two_third_parties_with_one_name_the_later_is_refused_whole(site: Site) -> None:
    site.install("aaa", GOOD)
    site.install("bbb", "@hookimpl\ndef register_experts(): return [expert('own'), expert('mine')]")
    first, second = site.rows()
    assert (first["name"], first["distribution"], first["state"]) == ("mine", "aaa-dist", "ok")
    expected = "expert 'mine' is registered by aaa of aaa-dist 1.2 and again by bbb of bbb-dist 1.2; rename one, or set"
    assert expected in second["state"]


def test_of_two_plugins_with_one_entry_point_name_the_later_is_refused(site: Site) -> None:
    site.install("aaa", GOOD, entry="acme")
    site.install("bbb", HOOK + "return [expert('other')]", entry="acme")
    first, second = site.rows()
    assert (first["name"], first["state"]) == ("mine", "ok")
    assert (second["name"], second["distribution"]) == ("acme", "bbb-dist")
    remedy = "uninstall bbb-dist or aaa-dist, or set UNIRESTORER_DISABLE_PLUGINS=bbb-dist"
    assert second["state"] == f"failed: the plugin name 'acme' is taken by aaa-dist 1.2; {remedy}"
    states = [row["state"] for row in site.rows(UNIRESTORER_DISABLE_PLUGINS="bbb-dist")]
    assert states == ["ok", "disabled"]


def test_an_optional_hook_that_does_not_exist_yet_is_no_failure(site: Site) -> None:
    site.install("acme", GOOD + "\n    @hookimpl(optionalhook=True)\n    def register_colours(): return 1\n")
    assert [row["state"] for row in site.rows()] == ["ok"]


def test_what_a_plugin_prints_does_not_reach_the_results(site: Site) -> None:
    site.install("loud", "print('import')\n" + HOOK + "print('hook'); return [expert('mine')]")
    done = site.run("from unirestorer.cli.app import main; main(['plugins', '--json'])")
    assert "mine" in {row["name"] for row in json.loads(done.stdout)}
    assert done.stderr.splitlines() == ["import", "hook"]


def test_a_warning_is_shown_and_does_not_make_a_plugin_fail(site: Site) -> None:
    site.install("old", "import warnings; warnings.warn('soon gone', DeprecationWarning)\n" + HOOK + "return []")
    site.install("acme", GOOD)
    done = site.run(QUIET)  # runs with -W error
    assert done.returncode == 0
    assert "DeprecationWarning: soon gone" in done.stderr
    assert [(row["name"], row["state"]) for row in site.rows()] == [("mine", "ok")]


def test_arguments_folder_and_warning_filters_are_as_before(site: Site) -> None:
    tamper = "import os, sys, warnings; os.chdir('/'); sys.argv[:] = ['x']; warnings.simplefilter('ignore')\n"
    site.install("acme", tamper + HOOK + "os.chdir('/'); sys.argv = []; print('ran'); return []")
    code = (
        "import os, sys, warnings\n"
        "def state(): return os.getcwd(), list(sys.argv), list(warnings.filters)\n"
        f"before = state(); {QUIET}; print(state() == before)"
    )
    done = site.run(code)
    assert (done.stdout, done.stderr) == ("True\n", "ran\n")


def test_ctrl_c_is_not_taken_for_a_failure(site: Site) -> None:
    site.install("acme", "raise KeyboardInterrupt")
    done = site.run(f"try: {QUIET}\nexcept KeyboardInterrupt: print('stopped')")
    assert done.stdout == "stopped\n"


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
    stderr = site.run(QUIET, UNIRESTORER_TRACE_PLUGINS="1").stderr
    assert "plugin acme:   register_experts [hook]" in stderr
    assert "plugin unirestorer.plugins.experts:   register_experts [hook]" in stderr
    assert site.run(QUIET).stderr == ""


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
    assert done.stderr.startswith("plugin 'angry' of angry-dist 1.2 failed: stage_finished: SystemExit: no; upgrade")
    assert done.stderr.count("\n") == 1


def test_the_catalogue_is_loaded_once() -> None:
    assert load_catalogue() is load_catalogue()


@pytest.mark.parametrize(("skipped", "ending"), [(False, "(2.5 s)"), (True, "(up to date)")])
def test_progress_logs_one_line_per_stage(caplog: pytest.LogCaptureFixture, skipped: bool, ending: str) -> None:
    with caplog.at_level(logging.INFO, logger="unirestorer.progress"):
        load_catalogue().notify(StageReport("cluster", "19 leaves", 2.5, skipped=skipped))
    assert caplog.messages == [f"cluster: 19 leaves {ending}"]
