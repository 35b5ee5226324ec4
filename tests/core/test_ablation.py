"""Sweeps at micro scale: what is equal is run once, what fails does not stop the rest, and the table has every cell."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from unirestorer.core.ablating.results import markdown, read_rows, write_results
from unirestorer.core.ablating.row import Row
from unirestorer.core.ablating.running import Bench, plan, run_sweep
from unirestorer.core.ablating.sweep import load_sweep
from unirestorer.core.errors import ConfigError
from unirestorer.core.overlay import merged
from unirestorer.core.photos import load_photos
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.run import Run, Watcher
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from .tiny_world import RECIPE, contents, make_photos

SWEEPS = [p for p in (Path(__file__).parents[2] / "recipes").glob("*.yaml") if "\naxes:" in p.read_text()]
SWEEP = """
name: micro-sweep
recipe: micro.yaml
axes:
  extractor:
    small:
    narrow: {extractor: {config: {widths: [4, 8]}}}
  clusterer:
    three: {}
    flat: {cluster: {config: {sizes: [1, 4]}}}
    broken: {cluster: {config: {sizes: [1, 3, 5000]}}}
"""
CELLS = [f"{a}+{b}" for a in ("small", "narrow") for b in ("three", "flat", "broken")]
Make = Callable[..., Bench]


def write(folder: Path, text: str = SWEEP) -> Path:
    (folder / "micro.yaml").write_text(RECIPE)
    (folder / "sweep.yaml").write_text(text)
    return folder / "sweep.yaml"


def silent(task: str, done: int, total: int, note: str) -> None:
    """No progress."""


def bench(folder: Path, out: str = "out", watch: Watcher = silent) -> tuple[Bench, Counter[str]]:
    """A bench with photos, and a counter of the stages that really ran."""
    ran: Counter[str] = Counter()
    catalogue = replace(load_catalogue(), notify=lambda report: ran.update([] if report.skipped else [report.stage]))
    photos = make_photos(folder / "photos")
    return Bench("micro-sweep", folder / out, photos, catalogue, partial(open_registry, create=True), watch), ran


def sweep(folder: Path, text: str = SWEEP, out: str = "out", watch: Watcher = silent) -> tuple[list[Row], Counter[str]]:
    desk, ran = bench(folder, out, watch)
    _, cells = load_sweep(write(folder, text), desk.catalogue)
    return run_sweep(desk, cells, lambda row: None), ran


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    rows, ran = sweep(folder)
    assert [row.cell for row in rows] == CELLS
    (folder / "ran.json").write_text(json.dumps(ran))
    return folder


def test_equal_stages_run_once(world: Path) -> None:
    ran = json.loads((world / "ran.json").read_text())
    assert (ran["synthesize"], ran["extractor"], ran["extract"]) == (1, 2, 2)
    assert (ran["cluster"], ran["experts"], ran["costs"], ran["routers"], ran["evaluate"]) == (4, 4, 4, 4, 4)


def test_a_cell_that_fails_is_a_line_and_the_others_are_done(world: Path) -> None:
    rows = read_rows(world / "out")
    assert {name: row.state for name, row in rows.items() if row.state != "done"} == {
        "small+broken": "failed",
        "narrow+broken": "failed",
    }
    assert "5000 leaves" in rows["small+broken"].reason
    assert len(rows["small+broken"].reason.splitlines()) == 1
    assert "Traceback" in rows["small+broken"].trace


def test_every_cell_is_an_ordinary_registry_with_the_bytes_of_a_run_of_its_own(world: Path, tmp_path: Path) -> None:
    _, cells = load_sweep(world / "sweep.yaml", load_catalogue())
    cell = next(cell for cell in cells if cell.name == "narrow+flat")
    assert read_rows(world / "out")["narrow+flat"].shared == 3
    photos = load_photos(world / "photos", cell.recipe.synthesize.crop)
    store = open_registry(tmp_path / "fresh", create=True)
    run_pipeline(Run(cell.recipe, store, load_catalogue(), photos, tmp_path / "work", tmp_path / "reports"))
    assert contents(open_registry(world / "out" / "narrow+flat")) == contents(store)


def test_the_scratch_folder_is_gone_and_the_reports_are_there(world: Path) -> None:
    assert not (world / "out" / ".work").exists()
    for cell in ("small+three", "narrow+flat"):
        assert {path.name for path in (world / "out" / cell / "reports").iterdir()} == {
            "hierarchy.png",
            "clusters.md",
            "clusters.csv",
            "evaluation.md",
            "reliability.png",
        }


def test_the_tables_have_every_cell_and_the_plot_is_there(world: Path) -> None:
    text = (world / "out" / "table.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("| small", "| narrow"))]
    assert len(lines) == 6
    assert lines[0].startswith("| small | three | 1-3-4 | ")
    assert sum("**" in line for line in lines) >= 1
    with (world / "out" / "table.csv").open() as file:
        table = {row["cell"]: row for row in csv.DictReader(file)}
    assert list(table) == CELLS
    done = table["small+flat"]
    assert done["tree"] == "1-4"
    groups = [name for name in done if name.startswith("evaluate.gain ")]
    assert groups
    for name in (
        "cluster.nmi_type",
        "cluster.purity_degree",
        "costs.oracle psnr",
        "routers.regret",
        "evaluate.mean gain",
        *groups,
    ):
        assert abs(float(done[name])) < 100, name
    assert table["narrow+broken"]["evaluate.mean gain"] == ""
    assert (world / "out" / "plot.png").stat().st_size > 5000


def test_a_second_run_only_tries_again_what_failed(world: Path) -> None:
    before = read_rows(world / "out")
    rows, ran = sweep(world)
    assert ran == {}
    assert [row.state for row in rows] == ["done", "done", "failed"] * 2
    assert {row.cell: row for row in rows if row.state == "done"} == {
        name: row for name, row in before.items() if row.state == "done"
    }


def test_the_plan_says_what_will_be_shared_and_what_is_done(world: Path) -> None:
    _, cells = load_sweep(world / "sweep.yaml", load_catalogue())
    fresh = [(j.cell.name, j.done, j.shared, j.source) for j in plan(bench(world, "elsewhere")[0], cells)]
    assert fresh[:2] == [("small+three", 0, 0, ""), ("small+flat", 0, 3, "small+three")]
    assert fresh[3] == ("narrow+three", 0, 1, "small+three")
    assert not (world / "elsewhere").exists()
    assert [job.done for job in plan(bench(world)[0], cells)] == [8, 8, 3, 8, 8, 3]


def test_cells_that_share_most_follow_each_other(tmp_path: Path) -> None:
    axes = "\naxes:\n  routers: {a: , b: {routers: {alpha: 0.5}}}\n  seed: {0: {seed: 0}, 1: {seed: 1}}\n"
    _, cells = load_sweep(write(tmp_path, "name: s\nrecipe: micro.yaml" + axes), load_catalogue())
    jobs = plan(bench(tmp_path)[0], cells)
    assert [(job.cell.name, job.shared) for job in jobs] == [("a+0", 0), ("b+0", 6), ("a+1", 0), ("b+1", 6)]


def test_a_sweep_that_was_stopped_goes_on(world: Path, tmp_path: Path) -> None:
    text = SWEEP.split("    broken")[0]

    def stop(task: str, done: int, total: int, note: str) -> None:
        if task == "experts" and done == 2 and "small+flat" in note:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, text, watch=stop)
    rows = read_rows(tmp_path / "out")
    assert [row.state for row in rows.values()] == ["done", "unfinished", "waiting", "waiting"]
    assert rows["small+flat"].source == "small+three"
    assert "| small | flat | - |" in (tmp_path / "out" / "table.md").read_text()
    resumed, ran = sweep(tmp_path, text)
    assert [row.state for row in resumed] == ["done"] * 4
    assert (ran["synthesize"], ran["extractor"], ran["experts"]) == (0, 1, 3)
    for cell in ("small+flat", "narrow+three"):
        assert contents(open_registry(tmp_path / "out" / cell)) == contents(open_registry(world / "out" / cell))


def test_a_plugin_that_exits_or_raises_anything_does_not_end_the_sweep(tmp_path: Path) -> None:
    def explode(task: str, done: int, total: int, note: str) -> None:
        if task == "extractor" and "small" in note:
            raise SystemExit("leaving")
        if task == "costs" and "narrow" in note:
            raise MemoryError

    text = SWEEP.split("  clusterer")[0]
    rows, _ = sweep(tmp_path, text, watch=explode)
    assert [(row.state, row.reason) for row in rows] == [("failed", "SystemExit: leaving"), ("failed", "MemoryError")]


def test_a_changed_sweep_takes_over_what_is_still_equal(tmp_path: Path) -> None:
    text = "name: s\nrecipe: micro.yaml\naxes: {routers: {a: , b: {routers: {alpha: 0.5}}}}\n"
    sweep(tmp_path, text)
    rows, ran = sweep(tmp_path, text.replace("a: ,", "a: {costs: {samples: 12}},").replace("0.5", "0.25"))
    assert [row.state for row in rows] == ["done", "done"]
    assert ran == {"costs": 1, "routers": 2, "evaluate": 2}


def test_means_over_seeds_stand_below_the_table() -> None:
    figures = [{"evaluate.mean gain": 1.0}, {"evaluate.mean gain": 3.0}, {}]
    rows = [
        Row(f"a+{seed}", {"x": "a", "seed": str(seed)}, "", "done" if found else "failed", figures=found)
        for seed, found in enumerate(figures)
    ]
    assert markdown(rows).splitlines()[-1] == "| a | 2 | - | - | - | - | - | - | - | - | 2.00 ± 1.00 |"


@pytest.mark.parametrize("axes", [["x"], ["x", "y", "z"]])
def test_other_numbers_of_axes_are_drawn_as_bars(axes: list[str], tmp_path: Path) -> None:
    rows = [Row(n, dict.fromkeys(axes, n), "", "done", figures={"evaluate.mean gain": i}) for i, n in enumerate("ab")]
    write_results(tmp_path, "s", rows)
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_a_change_is_merged_mapping_by_mapping() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 3, "e": {"f": 1}}
    assert merged(base, {"a": {"c": [3]}, "d": None}) == {"a": {"b": 1, "c": [3]}, "e": {"f": 1}}


def test_a_block_with_another_plugin_loses_the_old_configuration(tmp_path: Path) -> None:
    text = "name: s\nrecipe: micro.yaml\naxes: {expert: {none: {experts: {name: identity}}, resunet: }}"
    _, cells = load_sweep(write(tmp_path, text), load_catalogue())
    assert dict(cells[0].recipe.experts.config) == {}
    assert cells[0].recipe.experts.patch == cells[1].recipe.experts.patch == 32


BAD = {
    "no mapping": ("- 1", "a sweep is a mapping"),
    "no axes": ("name: s\nrecipe: micro.yaml\naxes: {}", "sweep.yaml:3: axes"),
    "no choice": ("name: s\nrecipe: micro.yaml\naxes: {x: {}}", "sweep.yaml:3: axes.x"),
    "unknown key": ("name: s\nrecipe: micro.yaml\naxis: {}\naxes: {x: {a: }}", "sweep.yaml:3: axis"),
    "slash": ("name: s\nrecipe: micro.yaml\naxes: {x: {a/b: }}", "axes.x.a/b"),
    "like a file": ("name: s\nrecipe: micro.yaml\naxes: {x: {table.md: }}", "like a file of results"),
    "no change": ("name: s\nrecipe: micro.yaml\naxes: {x: {a: 3}}", "axes.x.a: Input should be a valid"),
    "doubled": ("name: s\nrecipe: micro.yaml\naxes: {x: {1: , '1': {seed: 9}}}", "axes.x.1: is there 2 times"),
    "same recipe": ("name: s\nrecipe: micro.yaml\naxes: {x: {a: , b: {seed: 3}}}", "a and b are the same recipe"),
    "renamed": ("name: s\nrecipe: micro.yaml\naxes: {x: {a: {name: other}}}", "cannot rename"),
    "excluded": ("name: s\nrecipe: micro.yaml\naxes: {x: {a: }}\nexclude: [{x: b}]", "exclude.0.x"),
    "all excluded": ("name: s\nrecipe: micro.yaml\naxes: {x: {a: }}\nexclude: [{x: a}]", "leaves no cell"),
    "no recipe": ("name: s\nrecipe: none.yaml\naxes: {x: {a: }}", "none.yaml: cannot read"),
    "unknown section": ("name: s\nrecipe: micro.yaml\naxes:\n  x: {a: {extracter: {}}}", "sweep.yaml:4: extracter"),
    "plugin": ("name: s\nrecipe: micro.yaml\naxes: {x: {a: {cluster: {name: kmeens}}}}", "did you mean 'kmeans'"),
    "untrained": ("name: s\nrecipe: micro.yaml\naxes: {x: {a: {extractor: {training: }}}}", "extractor.training"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sweep_is_refused_in_lines(case: str, tmp_path: Path) -> None:
    text, expected = BAD[case]
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(tmp_path, text), load_catalogue())
    assert len(caught.value.problems) == 1
    assert expected in caught.value.problems[0]


def test_every_problem_of_every_cell_is_said_at_once(tmp_path: Path) -> None:
    text = SWEEP.replace("widths: [4, 8]", "widhts: [4, 8]").replace("sizes: [1, 4]", "sizes: [4]")
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(tmp_path, text), load_catalogue())
    widths, sizes = sorted(caught.value.problems, key=lambda line: "sizes" in line)
    assert "sweep.yaml:7: extractor.config.widhts" in widths
    assert widths.endswith("(in narrow+three, narrow+flat, narrow+broken)")
    assert "sweep.yaml:10: cluster.config.sizes" in sizes
    assert sizes.endswith("(in small+flat, narrow+flat)")


def test_a_problem_of_the_base_recipe_is_blamed_on_it(tmp_path: Path) -> None:
    path = write(tmp_path, "name: s\nrecipe: micro.yaml\naxes: {x: {a: , b: {seed: 4}}}")
    (tmp_path / "micro.yaml").write_text(RECIPE.replace("patch: 32\n  levels", "pach: 32\n  levels"))
    with pytest.raises(ConfigError) as caught:
        load_sweep(path, load_catalogue())
    line = RECIPE.splitlines().index("  patch: 32") + 1
    assert [p for p in caught.value.problems if f"micro.yaml:{line}: experts.pach" in p and p.endswith("(in a, b)")]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="give --out"):
        read_rows(tmp_path)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ConfigError, match="not the results of a sweep"):
        read_rows(tmp_path)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_shipped_sweep_is_valid(path: Path) -> None:
    name, cells = load_sweep(path, load_catalogue())
    assert name == path.stem
    assert len(cells) >= 6
