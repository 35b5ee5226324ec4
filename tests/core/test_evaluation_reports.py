"""Means, tables and JSON of an evaluation against numbers worked out by hand; charts and sheets by their pixels."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unirestorer.core.errors import ConfigError
from unirestorer.core.evaluating import sheet
from unirestorer.core.evaluating.cases import Case
from unirestorer.core.evaluating.charts import bars, draw, levels
from unirestorer.core.evaluating.metrics import Metrics
from unirestorer.core.evaluating.opening import Entry
from unirestorer.core.evaluating.peers import FunctionPeer, InputPeer, Peer
from unirestorer.core.evaluating.report import Cell, Report, Row, cells, from_json, means, to_json
from unirestorer.core.evaluating.routes import confusion_lines, routing, routing_tables
from unirestorer.core.evaluating.running import evaluate
from unirestorer.core.evaluating.sheet import Pick, Shown, draw_sheet, error_map, picks, restored_again
from unirestorer.core.evaluating.suite import Average, Part, Published, Suite
from unirestorer.core.evaluating.tables import csv_text, report_text, score_tables
from unirestorer.core.evaluating.writing import write_report

SUITE = Suite(
    name="small",
    title="a small suite",
    parts=(
        Part(name="noise 15", group="noise", task="noise", pairs=Path("a")),
        Part(name="noise 50", group="noise", task="noise", pairs=Path("b")),
        Part(name="rain", task="rain", pairs=Path("c")),
    ),
    averages={"all": Average(of=("noise", "rain")), "even": Average(of=("noise", "rain"), plain=True)},
    published=(Published(table="Table 1", rows={"they": {"noise": (33.0, 0.9), "rain": (35.0,), "all": (34.5,)}}),),
)
# By part and image: PSNR of the input and of auto. Column means of auto: noise ((31 + 33)/2 + 28)/2 = 30, rain 40.
SCORES = {
    "noise 15": {"a.png": (20.0, 31.0), "b.png": (22.0, 33.0)},
    "noise 50": {"a.png": (14.0, 27.0), "b.png": (16.0, 29.0)},
    "rain": dict.fromkeys("uvwxyz", (25.0, 40.0)),
}


def row(part: str, image: str, peer: str, psnr: float, **more: Any) -> Row:
    scores = {"standard.psnr": psnr, "standard.ssim": psnr / 50, "paper.psnr": psnr + 1, "paper.ssim": psnr / 50}
    return Row(part, image, part.split()[0], peer, scores, 0.25, **more)


def report(shift: float = 0.0, parts: Sequence[str] = tuple(SCORES), **more: Any) -> Report:
    rows = []
    for part in parts:
        for image, (before, after) in SCORES[part].items():
            rows.append(row(part, image, "input", before))
            rows.append(row(part, image, "auto", after + shift))
            rows.append(row(part, image, "oracle", after + 1))
    return Report(SUITE, ("input", "auto", "oracle"), tuple(rows), **more)


def test_a_column_is_the_mean_over_its_parts_and_plain_averages_that_over_columns() -> None:
    found = means(report(), "standard.psnr")
    assert found["auto"] == {"noise": 30.0, "rain": 40.0, "all": 35.0, "even": 35.0}
    assert found["input"] == {"noise": 18.0, "rain": 25.0, "all": 21.5, "even": 21.5}


def test_weighted_averages_count_images_unless_they_are_plain_and_parts_of_a_group_are_the_same_photos() -> None:
    found = means(report(), "paper.psnr")["auto"]
    assert found == {"noise": 31.0, "rain": 41.0, "all": (2 * 31 + 6 * 41) / 8, "even": 36.0}


def test_published_numbers_of_images_replace_those_that_were_there() -> None:
    weighed = SUITE.model_copy(update={"weights": {"noise": 9.0, "rain": 1.0}})
    assert means(replace(report(), suite=weighed), "paper.psnr")["auto"]["all"] == pytest.approx(32.0)


def test_averages_of_averages_weigh_what_stands_behind_them() -> None:
    nested = SUITE.model_copy(
        update={
            "averages": {"both": Average(of=("noise", "rain")), "top": Average(of=("both", "noise"))},
            "weights": {"noise": 3.0, "rain": 1.0},
        }
    )
    found = means(replace(report(), suite=nested), "paper.psnr")["auto"]
    assert found["both"] == pytest.approx(33.5)
    assert found["top"] == pytest.approx((4 * 33.5 + 3 * 31) / 7)


@pytest.mark.parametrize(("name", "printed"), [("3D", 36.92), ("5D", 33.46), ("7D", 31.35)])
def test_the_averages_that_the_paper_prints_are_weighted_by_images(name: str, printed: float) -> None:
    columns = {
        "Rain100L": (43.03, 100),
        "SOTS": (36.44, 500),
        "BSD68": (31.43, 68),
        "GoPro": (31.48, 1111),
        "LOLv1": (26.67, 15),
        "Snow100K-L": (31.12, 16801),
        "LIVE1": (30.57, 29),
    }
    names = tuple(columns)
    suite = Suite(
        name="paper",
        title="Table 1",
        parts=tuple(Part(name=column, pairs=Path("x")) for column in names),
        averages={"3D": Average(of=names[:3]), "5D": Average(of=names[:5]), "7D": Average(of=names)},
        weights={column: count for column, (_, count) in columns.items()},
    )
    rows = (Row(column, "x", None, "ours", {"paper.psnr": psnr}, 0.0) for column, (psnr, _) in columns.items())
    assert means(Report(suite, ("ours",), tuple(rows)), "paper.psnr")["ours"][name] == pytest.approx(printed, abs=0.01)


def test_averages_are_those_of_the_columns_that_are_there_and_say_so() -> None:
    partial = report(parts=("noise 15", "rain"))
    assert means(partial, "standard.psnr")["auto"]["all"] == (32 + 40) / 2
    assert partial.covered("noise") == (1, 2)
    lone = report(parts=("rain",))
    assert lone.covered("all") == (1, 2)
    text = score_tables([lone])
    assert "| | rain | all (1 of 2) | even (1 of 2) |" in text
    assert "| *they* | *35.00* | - | - |" in text, "a published average over more columns is not comparable"


def test_a_peer_without_one_of_the_columns_has_no_average() -> None:
    told = tuple(row("rain", name, "told", 41.0) for name in SCORES["rain"])
    whole = report()
    found = means(replace(whole, peers=(*whole.peers, "told"), rows=whole.rows + told), "standard.psnr")
    assert found["told"] == {"rain": 41.0}
    assert "all" in found["auto"]


def test_several_reports_give_mean_and_sample_deviation() -> None:
    found = cells([report(0.0), report(0.5), report(1.0)], "standard.psnr")
    assert found["auto"]["noise"] == Cell(30.5, 0.5)
    assert found["input"]["noise"] == Cell(18.0, 0.0)
    gains = cells([report(0.0), report(1.0)], "standard.psnr", less="input")
    assert "input" not in gains
    assert gains["auto"]["rain"] == pytest.approx((15.5, 0.5**0.5))
    text = score_tables([report(0.0), report(1.0)])
    assert "| 30.50 ± 0.71 / .610 ± .014 |" in text.replace("**", "")
    assert "sample standard deviation over 2 runs" in text


def test_reports_of_other_images_or_suites_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match=r"on noise 50, a\.png is not in all of them"):
        cells([report(), report(parts=("noise 15", "rain"))], "standard.psnr")
    other = replace(report(), suite=SUITE.model_copy(update={"name": "large"}))
    with pytest.raises(ConfigError, match="'small', 'large'"):
        cells([report(), other], "standard.psnr")
    seeded = replace(report(), suite=SUITE.model_copy(update={"seed": 7}))
    assert cells([report(), seeded], "standard.psnr")["auto"]["rain"] == Cell(40.0, 0.0)


def test_json_comes_back_as_the_same_report_but_for_wall_times() -> None:
    given = report(missing=("snow: not there",), facts={"seed": 3, "versions": {"torch": "2"}})
    given = replace(given, rows=(*given.rows, row("rain", "n", "auto", 1 / 3, node="rain/heavy", level="DEGREE")))
    back = from_json(to_json(given))
    assert back == replace(given, rows=tuple(replace(row, seconds=0.0) for row in given.rows))
    assert json.loads(to_json(given))["means"]["paper.psnr"]["auto"]["noise"] == 31.0


def test_json_of_equal_runs_is_equal_whatever_the_time() -> None:
    slow = replace(report(), rows=tuple(replace(row, seconds=9.0) for row in report().rows))
    assert to_json(slow) == to_json(report())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ("{}", "suite"),
        (to_json(report()).replace('"format": 1', '"format": 2'), "format is 2, wanted 1"),
        (to_json(report()).replace('"standard.psnr": 20.0', '"standard.psnr": "much"', 1), "valid number"),
        (to_json(report()).replace('"image": "a.png"', '"picture": "a.png"', 1), "image"),
    ],
)
def test_what_is_no_report_is_refused_with_the_name_of_its_file(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        from_json(text, "old.json")
    assert all(line.startswith("old.json") for line in caught.value.problems)


def test_csv_has_a_line_an_image_and_peer_in_full_precision() -> None:
    given = report()
    given = replace(
        given, rows=(row("rain", 'a, "b".png', "auto", 1 / 3, node="rain", leaf_probability=0.1), *given.rows)
    )
    lines = list(csv.DictReader(io.StringIO(csv_text(given))))
    assert len(lines) == len(given.rows)
    assert (lines[0]["image"], lines[0]["node"], lines[0]["level"]) == ('a, "b".png', "rain", "")
    assert float(lines[0]["standard.psnr"]) == 1 / 3
    assert float(lines[0]["seconds"]) == 0.25


def test_tables_print_psnr_and_ssim_with_the_best_in_bold_and_what_was_published() -> None:
    standard, paper = score_tables([report()]).split("## paper")
    assert "standard: PSNR and SSIM on RGB;" in standard
    assert "Images: noise 2, rain 6." in standard
    assert "| | noise | rain | all | even |" in standard
    assert "| input | 18.00/.360 | 25.00/.500 |" in standard
    assert "| auto | **30.00/.600** | **40.00/.800** | **35.00/.700** | **35.00/.700** |" in standard
    assert "| oracle | 31.00/.620 |" in standard, "the oracle is best, but it looks at the truth"
    assert "they" not in standard, "published numbers stand only below those of their own convention"
    assert "| *they* | *33.00/.900* | *35.00* | *34.50* | - |" in paper
    assert "In italics, as published: Table 1." in paper


def test_only_the_better_half_of_a_cell_is_bold_where_peers_share_it() -> None:
    rows = (
        Row("rain", "x", "rain", "one", {"standard.psnr": 30.0, "standard.ssim": 0.8}, 0.0),
        Row("rain", "x", "rain", "two", {"standard.psnr": 30.001, "standard.ssim": 0.9}, 0.0),
    )
    text = score_tables([Report(SUITE, ("one", "two"), rows)])
    assert "| one | **30.00**/.800 |" in text
    assert "| two | **30.00/.900** |" in text, "what is printed alike is equally good"


@pytest.mark.parametrize(("lower", "best"), [(True, "one"), (False, "two")])
def test_the_best_of_a_learned_metric_is_the_lowest_where_its_facts_say_so(lower: bool, best: str) -> None:
    rows = tuple(Row("rain", "x", "rain", peer, {"niqe": 1.0 + (peer == "two")}, 0.0) for peer in ("one", "two"))
    text = score_tables([Report(SUITE, ("one", "two"), rows, facts={"metrics": {"niqe": {"lower_better": lower}}})])
    assert f"| {best} | **{'1.000' if lower else '2.000'}** |" in text
    assert f"niqe: {'lower' if lower else 'higher'} is better" in text


def routed() -> Report:
    used = {"a.png": ("noise", "TYPE", "noise"), "b.png": ("all", "ALL", "jpeg")}
    rows = [row("noise 15", image, "auto", 30.0, node=n, level=lv, found=f) for image, (n, lv, f) in used.items()]
    rows += [row("rain", "u", "auto", 30.0, node="rain/heavy", level="DEGREE", found="rain")]
    rows += [replace(one, peer="instruction", found=one.task) for one in rows]
    facts = {
        "peers": {"auto": {"levels": ["ALL", "TYPE", "DEGREE"]}, "instruction": {"levels": ["ALL", "TYPE", "DEGREE"]}}
    }
    return Report(SUITE, ("auto", "instruction"), tuple(rows), facts=facts)


def test_routing_is_counted_by_true_type_with_levels_from_coarse_to_fine() -> None:
    found = routing(routed())["auto"]
    assert found.levels == ("ALL", "TYPE", "DEGREE")
    assert found.nodes == ("all", "noise", "rain/heavy")
    assert found.types["noise"].levels == {"ALL": 1, "TYPE": 1}
    assert found.types["rain"].nodes == {"rain/heavy": 1}
    text = report_text([routed()])
    assert "2 of 3 (66.7%)." in text
    assert "| noise | 1 | 1 | . |" in text
    assert "## Routing: auto" in text
    assert "Type found: auto\n" in text
    assert "Type found: instruction" not in text, "it was told"
    assert routing_tables(report()) == ""


def test_the_confusion_matrix_has_true_types_in_rows() -> None:
    lines = list(confusion_lines([("rain", "rain"), ("rain", "snow"), ("haze", "haze")]))
    assert lines[0] == "| true \\ found | haze | rain | snow |"
    assert lines[2:] == ["| haze | 1 | . | . |", "| rain | . | 1 | 1 |"]


def test_what_is_missing_and_what_was_measured_with_are_listed() -> None:
    facts = {"versions": {"torch": "2.13"}, "peers": {"auto": {"sha256": "ab" * 32, "parts": {"experts": 3}}}}
    text = report_text([report(missing=("snow: no such folder",), facts=facts)])
    assert "## Missing\n\n- snow: no such folder\n" in text
    assert "- versions: torch 2.13\n" in text
    assert "  - auto: sha256 abababababab...; parts (experts 3)\n" in text
    assert "## Missing" not in report_text([report()])


def test_bars_stand_for_the_means_and_their_gain() -> None:
    figure = bars([report(0.0), report(1.0)])
    psnr, gain = figure.axes
    heights = [[bar.get_height() for bar in axes.patches] for axes in (psnr, gain)]  # type: ignore[attr-defined]
    assert heights[0][4:8] == [30.5, 40.5, 35.5, 35.5], "auto comes after the four bars of the input"
    assert heights[1][:4] == [12.5, 15.5, 14.0, 14.0]
    assert psnr.get_ylim()[0] == 15.0
    assert psnr.get_ylabel() == "PSNR, dB (from 15)"


def test_a_wide_table_takes_several_rows_of_bars_at_the_same_width(tmp_path: Path) -> None:
    parts = tuple(Part(name=f"part {number}", pairs=Path("x")) for number in range(20))
    suite = Suite(name="wide", title="wide", parts=parts)
    peers = [f"peer {number}" for number in range(9)]
    rows = tuple(row(part.name, "x", peer, 30.0 + number) for part in parts for number, peer in enumerate(peers))
    wide = [Report(suite, tuple(peers), rows)]
    figure = bars(wide)
    assert [len(axes.get_xticks()) for axes in figure.axes] == [10, 10]
    looks = {(patch.get_facecolor(), patch.get_hatch()) for axes in figure.axes[:1] for patch in axes.patches}
    assert len(looks) == 9
    draw(figure, tmp_path / "wide.png")
    with Image.open(tmp_path / "wide.png") as image:
        assert image.width == 1200


def test_levels_are_stacked_to_a_hundred_percent() -> None:
    figure = levels({"auto": routing(routed())["auto"]})
    pieces = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert pieces == [(0, 50), (0, 0), (50, 50), (0, 0), (100, 0), (0, 100)], "noise and rain, by level"


def photo(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 200, (height, width, 3), dtype=np.uint8)


def case(part: str, image: str, error: int, *, truth: bool = True, size: tuple[int, int] = (300, 400)) -> Case:
    clean = photo(*size, seed=len(image) + error)
    damaged = clean + np.uint8(error)
    return Case(part, image, part, damaged, clean if truth else None)


def less_five(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels - np.minimum(pixels, 5)


def measured(cases: Sequence[Case]) -> tuple[Report, list[Entry], list[Peer]]:
    peers: list[Peer] = [InputPeer(), FunctionPeer("auto", less_five)]
    entries = [Entry.of(each) for each in cases]
    parts = tuple(Part(name=name, pairs=Path("x")) for name in dict.fromkeys(each.part for each in cases))
    suite = Suite(name="small", title="small", parts=parts)
    return evaluate(suite, entries, peers, Metrics()), entries, peers


def test_the_sheet_shows_the_median_and_the_worst_image_of_each_part() -> None:
    # five less helps most where the error is near five
    errors = {"a": 6, "b": 7, "c": 9, "d": 20, "e": 40}
    found, entries, peers = measured([case("noise", name, error) for name, error in errors.items()])
    chosen = picks(found)
    assert [(pick.row.image, pick.why) for pick in chosen] == [("c", "median"), ("e", "worst")]
    assert chosen[0].gain == pytest.approx(20 * np.log10(9 / 4), abs=1e-3)
    first, _ = restored_again(chosen, entries, peers)
    assert (first.corner, first.size) == ((22, 72), (300, 400))
    assert np.array_equal(first.damaged, case("noise", "c", 9).damaged[22:278, 72:328])
    assert np.array_equal(first.output, less_five(first.damaged))


def test_the_crop_of_a_worst_image_is_where_its_error_is_largest() -> None:
    clean = photo(400, 500, 1)
    damaged = clean.copy()
    damaged[380:, 480:] += 50
    good = Case("noise", "good", None, clean + np.uint8(5), clean)
    found, entries, peers = measured([good, Case("noise", "bad", None, damaged, clean)])
    shown = {one.pick.row.image: one for one in restored_again(picks(found), entries, peers)}
    y, x = shown["bad"].corner
    assert (y + sheet.SIDE, x + sheet.SIDE) == (400, 500)


def test_a_part_without_truth_shows_its_first_image_and_one_image_is_shown_once() -> None:
    photos = [case("real", "p", 9, truth=False), case("real", "q", 9, truth=False)]
    found, entries, peers = measured([case("noise", "only", 9), *photos])
    assert [(pick.row.image, pick.why) for pick in picks(found)] == [("only", "median"), ("p", "first")]
    shown = list(restored_again(picks(found), entries, peers))
    assert shown[1].truth is None


def test_crops_are_on_the_sheet_pixel_by_pixel_and_pages_have_eight(tmp_path: Path) -> None:
    images = [np.full((256, 256, 3), 10 * number, dtype=np.uint8) for number in range(9)]
    pick = Pick(row("noise", "x" * 300, "auto", 30.0, node="noise/heavy"), 20.0, 30.0, "median")
    shown = [Shown(pick, (0, 0), (300, 300), image, image + np.uint8(1), image) for image in images]
    paths = draw_sheet(shown, tmp_path)
    assert [path.name for path in paths] == ["sheet-1.png", "sheet-2.png"]
    page = np.array(Image.open(paths[1]))
    place = np.argwhere((page == 80).all(axis=2))
    assert len(place) == 2 * 256**2, "the input, and the truth"
    top, left = place[0]
    assert (page[top : top + 256, left + 264 : left + 520] == 81).all()
    assert page.shape[1] < 1200
    assert draw_sheet(shown[:8], tmp_path)[0].name == "sheet.png"


def test_the_error_map_brightens_with_the_error_and_is_full_from_64_on() -> None:
    truth = np.zeros((1, 5, 3), dtype=np.uint8)
    output = truth.copy()
    output[0, :, :] = np.array([0, 16, 32, 64, 200])[:, None]
    light = error_map(output, truth).sum(axis=2)[0]
    assert (np.diff(light[:4].astype(int)) > 0).all()
    assert light[3] == light[4]


def test_equal_runs_give_equal_files_but_for_wall_times(tmp_path: Path) -> None:
    for name in ("one", "two"):
        found, entries, peers = measured([case("noise", image, error) for image, error in {"a": 6, "b": 30}.items()])
        paths = write_report(found, tmp_path / name, entries, peers)
    assert [path.name for path in paths] == ["report.md", "report.json", "rows.csv", "psnr.png", "sheet.png"]
    for path in paths:
        if path.name != "rows.csv":
            assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes(), path.name
