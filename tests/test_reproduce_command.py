"""``unirestorer reproduce`` as a user runs it: a miniature table is really trained, measured and written."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

from unirestorer import api
from unirestorer.core.evaluating.opening import seed_of
from unirestorer.core.images import find_images, load
from unirestorer.core.reproducing.table import load_table
from unirestorer.registry.locking import write_lock

from .commands import run
from .core.tiny_world import RECIPE, make_photos

TABLES = {path.stem: path for path in sorted((Path(__file__).parents[1] / "recipes" / "tables").glob("*.yaml"))}
SWEEP = """
name: mini
recipe: micro.yaml
axes:
  alpha: {none: {routers: {alpha: 0}}, paper: }
  seed: {3: , 4: {seed: 4}}
"""
SUITE = """
name: mini
title: two damages
parts:
  - {name: noise, task: noise, dataset: DIV2K, split: valid, degrade: noise}
  - {name: dark, task: lowlight, dataset: DIV2K, split: valid, degrade: lowlight}
  - {name: noise out, task: noise, dataset: DIV2K, split: valid, degrade: noise, preset: out}
  - {name: dark out, task: lowlight, dataset: DIV2K, split: valid, degrade: lowlight, preset: out}
averages: {in: [noise, dark], out: [noise out, dark out]}
"""
TABLE = """
title: Miniature
source: "A table for tests."
scales:
  tiny: {sweep: sweep.yaml, suite: suite.yaml, photos: {count: 2, side: 40}, note: "Takes seconds."}
  paper: {sweep: sweep.yaml, suite: suite.yaml}
columns:
  - {title: in, of: in, phrase: in distribution}
  - {title: out, of: out, metrics: [standard.psnr, standard.ssim], phrase: out of distribution}
  - {title: at the root, of: in, metrics: [share.ALL], best: none}
  - {title: "routers, s", stage: routers.seconds, best: none, unit: s}
rows:
  - {title: plain, where: {alpha: none}, published: {in: 24.14, out: [18.37, 0.7]}}
  - {title: uncertain, where: {alpha: paper}, published: {in: 24.35, out: [18.76, 0.71]}}
  - {title: root, where: {alpha: paper}, peer: root}
  - {title: finer, where: {alpha: paper}, peer: finer}
  - {title: best, where: {alpha: paper}, peer: oracle}
peers: {finer: {levels: [TYPE, DEGREE]}}
printed:
  - {title: somebody else, values: {in: 20.0}}
claims:
  - {text: The best expert is above the root, row: best, over: root, columns: [in, out], at_least: 0}
  - {text: The root is far above the best expert, row: root, over: best, columns: [in], at_least: 3}
  - {text: The uncertainty term changes little, row: uncertain, over: plain, columns: [in], at_most: 50}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce")
    make_photos(folder / "photos")
    make_photos(folder / "other", 3)
    (folder / "micro.yaml").write_text(RECIPE.replace("heldout: 0.1", "heldout: 0.2"))
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "mini.yaml").write_text(TABLE)
    return folder


def reproduce(world: Path, *options: str | Path, out: str = "out") -> int:
    return run("reproduce", world / "mini.yaml", "--data", world / "photos", "--out", world / out, *options)


@pytest.fixture(scope="module")
def made(world: Path) -> Path:
    page = world / "results.md"
    page.write_text("# Mine\n\n<!-- reproduce: mini -->\nold\n<!-- /reproduce -->\n\nlast words")
    assert reproduce(world, "--results", page, "--threads", "1") == 0
    return world / "out"


def values(made: Path) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    rows = json.loads((made / "mini.json").read_text())["rows"]
    return {
        row["title"]: {c: {f: value["seeds"] for f, value in fs.items()} for c, fs in row["values"].items()}
        for row in rows
    }


def test_numbers_are_those_of_the_cells_restoring_held_out_photos(made: Path) -> None:
    found = values(made)["uncertain"]["in"]["standard.psnr"]
    assert set(found) == {"3", "4"}
    photos = {path.name: sorted(path.iterdir()) for path in (made / "mini" / "photos").iterdir()}
    scores: dict[str, float] = {}
    for seed in found:
        model = made / "mini" / "cells" / f"paper+{seed}"
        candidates = [_mean_psnr(model, files) for files in photos.values()]
        scores[seed] = min(candidates, key=lambda value: abs(value - found[seed]))
    assert scores == pytest.approx(found, abs=1e-6)


def _mean_psnr(model: Path, files: list[Path]) -> float:
    parts = []
    for part, chain in (("noise", "noise"), ("dark", "lowlight")):
        scores = []
        for file in files:
            clean = load(file).pixels
            damaged = api.degrade(clean, chain, seed=seed_of(0, part, file.name)).pixels
            restored = api.restore(damaged, model=model).pixels
            scores.append(10 * np.log10(255**2 / np.mean((restored.astype(float) - clean) ** 2)))
        parts.append(fmean(scores))
    return fmean(parts)


def test_photos_are_held_out_and_cut(made: Path, world: Path) -> None:
    originals = [load(path).pixels for path, _ in find_images([world / "photos"])]
    files = [path for path, _ in find_images([made / "mini" / "photos"])]
    assert files
    for file in files:
        pixels = load(file).pixels
        assert pixels.shape == (40, 40, 3)
        top, left = (56 - 40) // 2, (64 - 40) // 2
        assert any((pixels == photo[top : top + 40, left : left + 40]).all() for photo in originals)


def test_the_table_shows_means_spread_and_what_was_printed(made: Path) -> None:
    text = (made / "mini.md").read_text()
    seeds = values(made)["uncertain"]["in"]["standard.psnr"].values()
    assert f"{fmean(seeds):.2f} ± {stdev(seeds):.2f}" in text
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert lines["uncertain"].endswith("| 24.35 | 18.76 / 0.710 |")
    assert lines["somebody else"] == "| somebody else | 20.00 | - | - | - |  |  |"
    assert lines[""].startswith("|  | in | out | at the root | routers, s | paper: in | paper: out |")
    assert "± " in lines["plain"].split("|")[5]
    assert [lines[row].split("|")[4:6] for row in ("root", "finer")] == [
        [" 1.00 ± 0.00 ", " - "],
        [" 0.00 ± 0.00 ", lines["uncertain"].split("|")[5]],
    ]
    assert "Takes seconds." in text
    assert "unirestorer reproduce mini --scale tiny --data PHOTOS --out OUT --threads 1" in text
    assert str(made) not in text


def test_claims_are_judged_by_the_numbers(made: Path) -> None:
    claims = json.loads((made / "mini.json").read_text())["claims"]
    assert [claim["reproduces"] for claim in claims] == [True, False, True]
    found = values(made)
    for claim, column in ((claims[0], "in"), (claims[0], "out"), (claims[1], "in")):
        better, worse = (found[claim["claim"][side]][column]["standard.psnr"] for side in ("row", "over"))
        assert claim["differences"][column] == {seed: better[seed] - worse[seed] for seed in better}
    assert claims[0]["sentence"].endswith(": reproduces.")
    assert claims[1]["sentence"].endswith(": does not reproduce at this scale.")
    assert "(paper: +0.21)" in claims[2]["sentence"]


def test_only_the_section_of_the_page_is_replaced(made: Path, world: Path) -> None:
    page = (world / "results.md").read_text()
    assert page.startswith("# Mine\n\n<!-- reproduce: mini -->\n## Miniature\n")
    assert page.endswith("\n<!-- /reproduce -->\n\nlast words")
    assert "old" not in page.split("last words")[0].split("## Miniature")[0]
    assert "| uncertain |" in page


def test_all_figures_are_in_the_csv_and_there_is_a_plot(made: Path) -> None:
    with (made / "mini.csv").open() as file:
        rows = list(csv.DictReader(file))
    ours = [row for row in rows if row["of"] == "ours"]
    assert {(row["row"], row["figure"]) for row in ours} >= {("finer", "standard.ssim"), ("plain", "routers.seconds")}
    for row in ours:
        assert float(row["mean"]) == pytest.approx(fmean(map(float, row["values"].split())))
        assert row["seeds"] == "3 4"
    assert sum(row["of"] == "paper" for row in rows) == 7
    assert (made / "mini.png").stat().st_size > 5000


def test_a_second_run_trains_and_measures_nothing(made: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (made / "mini.json").read_text()

    def never(*arguments: object) -> None:
        raise AssertionError("trained or measured again")

    monkeypatch.setattr("unirestorer.core.ablating.running.run_pipeline", never)
    monkeypatch.setattr("unirestorer.core.reproducing.measuring.evaluate", never)
    assert reproduce(world, "--threads", "1") == 0
    assert (made / "mini.json").read_text() == before


def test_given_photos_and_a_given_model(made: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = made / "mini" / "cells" / "paper+3"
    (world / "one.yaml").write_text(TABLE.replace(", where: {alpha: paper}", "").replace(", where: {alpha: none}", ""))
    options = ("--model", model, "--out", world / "one")
    assert run("reproduce", world / "one.yaml", *options) == 2
    assert "name some: --test" in capsys.readouterr().err
    assert run("reproduce", world / "one.yaml", *options, "--test", world / "other") == 0
    assert "suite mini on 2 given photos" in (world / "one" / "one.md").read_text()
    found = json.loads((world / "one" / "one.json").read_text())["rows"]
    assert found[0]["values"]["in"]["standard.psnr"]["deviation"] is None


def test_an_average_without_all_its_data_is_left_out(made: Path, world: Path) -> None:
    (world / "half-suite.yaml").write_text(
        """
name: half
title: half of it is there
parts:
  - {name: here, photos: ., degrade: noise}
  - {name: there, photos: nowhere, degrade: noise}
averages: {both: [here, there]}
published: [{table: T, metrics: [psnr], rows: {somebody: {here: [20.5], both: [21]}}}]
"""
    )
    table = "title: Half\nsource: S.\nscales: {tiny: {suite: half-suite.yaml}}\nrows: [{title: ours}]"
    (world / "half.yaml").write_text(table)
    options = ("--model", made / "mini" / "cells" / "paper+3", "--out", world / "half")
    assert run("reproduce", world / "half.yaml", *options, "--datasets", world / "other") == 0
    page = (world / "half" / "half.md").read_text()
    lines = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in page.splitlines() if line.startswith("|")}
    assert lines[""] == [" here ", " there ", " both "]
    assert float(lines["ours"][0].strip(" *")) > 5
    assert [cell.strip() for cell in lines["ours"][1:]] == ["-", "-"]
    assert lines["somebody"] == [" 20.50 ", " - ", " 21.00 "]
    assert re.search(r"- there: .*nowhere", page)


def test_a_cell_that_fails_is_a_line_and_status_2(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = SWEEP.replace("  seed: {3: , 4: {seed: 4}}", "  seed: {3: }").replace(
        "paper: }", "paper: {cluster: {config: {sizes: [1, 5000]}}}}"
    )
    (world / "broken-sweep.yaml").write_text(broken)
    (world / "broken.yaml").write_text(TABLE.replace("sweep: sweep.yaml", "sweep: broken-sweep.yaml"))
    page = world / "broken.md"
    options = ("--data", world / "photos", "--out", world / "broken", "--into", page)
    assert run("reproduce", world / "broken.yaml", *options) == 2
    out, err = capsys.readouterr()
    assert "paper+3: kmeans-topdown" in err
    assert "Traceback" not in err
    assert "| uncertain | - | - | - | - |" in out
    assert "The best expert is above the root: in distribution not measured" in out
    assert "- paper+3: kmeans-topdown" in page.read_text()


def test_a_dry_run_trains_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce(world, "--dry-run", out="dry") == 0
    out = capsys.readouterr().out
    assert "paper+3: as in none+3: synthesize, extractor, extract, cluster, experts, costs; to run: routers" in out
    assert "suite mini, restored by auto, root, finer, oracle" in out
    assert not (world / "dry").exists()


@pytest.mark.parametrize(
    ("table", "scale"), [(name, scale) for name, path in TABLES.items() for scale in load_table(path).scales]
)
def test_every_table_passes_a_dry_run_at_each_scale(table: str, scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("reproduce", table, "--scale", scale, "--dry-run") == 0
    out, err = capsys.readouterr()
    assert re.search(r"to train: \w", out)
    assert ("was never run" in err) == (scale == "paper")


def test_the_list_has_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("reproduce", "--list") == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(TABLES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which table?"),
        (("lossess",), "did you mean 'losses'"),
        (("losses",), "--out"),
        (("losses", "--out", "new"), "--data"),
        (("losses", "--scale", "huge"), "huge"),
        (("none.yaml", "--out", "new"), "none.yaml: cannot read"),
        (("micro.yaml", "--out", "new"), "micro.yaml:"),
    ],
)
def test_bad_arguments_are_lines_and_status_2(
    world: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(world)
    assert run("reproduce", *arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_one_table_is_made_by_one_process(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "busy" / "mini").mkdir(parents=True)
    with write_lock(world / "busy" / "mini"):
        assert reproduce(world, out="busy") == 2
    assert "locked by another writer" in capsys.readouterr().err
