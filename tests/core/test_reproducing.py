"""Parts of reproduced tables: verdicts on claims, sections of pages, photos to measure on, tables that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from unirestorer.core.errors import ConfigError, ImageError
from unirestorer.core.evaluating.overhead import Measured, Overhead, Setting
from unirestorer.core.evaluating.suite import load_suite
from unirestorer.core.images import load
from unirestorer.core.mixture import Mixture
from unirestorer.core.reproducing import overhead
from unirestorer.core.reproducing.outcome import Found, Value, sentence, value_of, verdicts
from unirestorer.core.reproducing.photos import given, lay_out, on_photos
from unirestorer.core.reproducing.running import Order
from unirestorer.core.reproducing.section import put_section
from unirestorer.core.reproducing.table import (
    Claim,
    Column,
    Costs,
    Line,
    Photos,
    Printed,
    Scale,
    Table,
    laid_out,
    load_table,
)
from unirestorer.core.reproducing.writing import Origin, markdown, write_files
from unirestorer.plugins.manager import load_catalogue

from .tiny_world import make_photos

RECIPES = Path(__file__).parents[2] / "recipes"
IN = Column(title="in", of="7T", phrase="in distribution")
OUT = Column(title="out", of="7T out", phrase="out of distribution")
ORIGIN = Origin("t", "tiny", "unirestorer reproduce t", {"torch": "2"}, 1, 3.0)


def table(*claims: Claim, **changes: object) -> Table:
    rows = (
        Line(title="many", where={"levels": "3"}, published={"in": (24.46,), "out": (19.45,)}),
        Line(title="one", where={"levels": "1"}, peer="leaf-only", published={"in": (24.22,), "out": (18.35,)}),
    )
    base = Table(
        title="T", source="S.", scales={"tiny": Scale(), "paper": Scale()}, columns=(IN, OUT), rows=rows, claims=claims
    )
    return base.model_copy(update=changes)


def claim(*columns: str, at_least: float | None = 0.01, at_most: float | None = None) -> Claim:
    return Claim(text="Many above one", row="many", over="one", columns=columns, at_least=at_least, at_most=at_most)


def cell(levels: str, seed: str, within: float, out: float) -> Found:
    peer = "auto" if levels == "3" else "leaf-only"
    scores = {(peer, "7T", "standard.psnr"): within, (peer, "7T out", "standard.psnr"): out, ("root", "7T", "x"): 0.0}
    return Found({"levels": levels, "seed": seed}, {"routers.seconds": 2.0}, scores)


FOUND = [
    cell("3", "7", 20.2, 15.0),
    cell("1", "7", 20.0, 15.4),
    cell("3", "8", 21.4, 16.0),
    cell("1", "8", 21.0, 16.2),
]


def said(*claims: Claim, found: list[Found] = FOUND, scale: str = "tiny") -> list[str]:
    return [sentence(verdict, scale) for verdict in verdicts(table(*claims), found)]


def test_a_claim_that_holds_with_every_seed_reproduces() -> None:
    assert said(claim("in")) == ["Many above one: in distribution by +0.30 ± 0.14 dB (paper: +0.24): reproduces."]


def test_a_claim_is_judged_in_every_column() -> None:
    (text,) = said(claim("in", "out"))
    assert text.endswith(
        "out of distribution by -0.30 ± 0.14 dB (paper: +1.10): "
        "reproduces in distribution, not out of distribution at this scale."
    )
    assert said(claim("out"))[0].endswith(": does not reproduce at this scale.")
    assert said(claim("out"), scale="paper")[0].endswith(": does not reproduce.")
    ours = claim("in", "out").model_copy(update={"ours": True})
    assert said(ours)[0].endswith(": holds in distribution, not out of distribution at this scale.")


def test_a_claim_that_holds_for_the_mean_alone_says_so() -> None:
    assert said(claim("in", at_least=0.25))[0].endswith(": reproduces on average, not with every seed.")
    assert said(claim("in", at_least=0.25))[0].startswith("Many above one (at least +0.25 dB): in distribution by")
    assert said(claim("in", at_least=None, at_most=0.45))[0].endswith(": reproduces.")
    assert said(claim("in", at_least=None, at_most=0.0))[0].endswith(": does not reproduce at this scale.")


def test_differences_are_of_equal_seeds_and_missing_ones_are_said() -> None:
    assert said(claim("in"), found=FOUND[:3])[0].startswith("Many above one: in distribution by +0.20 dB (paper")
    assert (
        said(claim("in"), found=FOUND[:1])[0]
        == "Many above one: in distribution not measured (paper: +0.24): not measured."
    )


def test_values_over_seeds() -> None:
    value = value_of(table().rows[0], IN, "standard.psnr", FOUND)
    assert value.seeds == {"7": 20.2, "8": 21.4}
    assert value.mean == pytest.approx(20.8)
    assert value.deviation == pytest.approx(1.2 / 2**0.5)
    assert Value({"7": 1.0}).deviation is None
    stage = Column(title="s", stage="routers.seconds")
    assert value_of(table().rows[0], stage, "routers.seconds", FOUND).seeds == {"7": 2.0, "8": 2.0}
    with pytest.raises(ValueError, match="no mean"):
        _ = Value({}).mean


def test_rows_show_the_spread_what_was_printed_and_the_best_in_bold() -> None:
    other = Printed(title="somebody", values={"in": (22.43,)})
    assert markdown(table(printed=(other,)), FOUND).splitlines() == [
        "|  | in | out | paper: in | paper: out |",
        "| --- | --- | --- | --- | --- |",
        "| many | **20.80 ± 0.85** | 15.50 ± 0.71 | 24.46 | 19.45 |",
        "| one | 20.50 ± 0.71 | **15.80 ± 0.57** | 24.22 | 18.35 |",
        "| somebody | 22.43 | - |  |  |",
    ]


def test_a_table_of_which_nothing_was_measured_is_written(tmp_path: Path) -> None:
    paths = write_files(tmp_path, table(claim("in")), [], ORIGIN)
    assert "| many | - | - | 24.46 | 19.45 |" in paths["md"].read_text()
    assert all(path.stat().st_size > 0 for path in paths.values())


def test_without_columns_a_table_has_those_and_the_printed_rows_of_its_suite() -> None:
    suite = load_suite(RECIPES / "suites" / "seven-task.yaml")
    made = laid_out(table(columns=()), "tiny", suite)
    assert [column.title for column in made.columns] == [*suite.columns, "3D", "5D", "7D"]
    assert made.columns[0].metrics == ("paper.psnr", "paper.ssim")
    restormer = next(row for row in made.printed if row.title == "Restormer")
    assert restormer.values["Rain100L"] == (35.71, 0.966)
    line = next(line for line in markdown(made, []).splitlines() if line.startswith("| Restormer"))
    assert line.startswith("| Restormer | 35.71 / 0.966 | 29.64 / 0.971 |")


def test_rows_and_columns_of_one_scale_are_left_out_at_the_other() -> None:
    rows = (*table().rows, Line(title="big", only="paper"))
    both = table(rows=rows, columns=(IN, OUT.model_copy(update={"only": "tiny"})))
    assert [row.title for row in laid_out(both, "tiny", None).rows] == ["many", "one"]
    assert [column.title for column in laid_out(both, "paper", None).columns] == ["in"]


PAGE = """# Page

before

<!-- reproduce: a -->
old a
<!-- /reproduce -->

<!-- reproduce: b -->
old b
<!-- /reproduce -->
end"""


def test_a_section_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    put_section(page, "b", "new \\1 b\n")
    assert page.read_text() == PAGE.replace("old b", "new \\1 b")
    put_section(page, "b", "new \\1 b")
    assert page.read_text() == PAGE.replace("old b", "new \\1 b")


def test_a_section_without_a_place_is_appended(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    put_section(page, "a.b", "new")
    assert page.read_text() == f"{PAGE}\n\n<!-- reproduce: a.b -->\nnew\n<!-- /reproduce -->\n"
    put_section(tmp_path / "none" / "page.md", "a", "text")
    assert (tmp_path / "none" / "page.md").read_text() == "<!-- reproduce: a -->\ntext\n<!-- /reproduce -->\n"


def test_line_ends_of_the_page_are_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(PAGE.replace("\n", "\r\n").encode())
    put_section(page, "a", "one\ntwo")
    assert page.read_bytes() == PAGE.replace("old a", "one\ntwo").replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!-- reproduce: a -->\nno end", "has no <!-- /reproduce -->"),
        (PAGE.replace("<!-- /reproduce -->", "", 1), "before the next section"),
        (PAGE + PAGE, "is there 2 times"),
    ],
)
def test_a_page_with_broken_markers_is_left_alone(text: str, expected: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        put_section(page, "a", "new")
    assert page.read_text() == text


def test_photos_are_drawn_once_and_cut(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 6)
    Image.fromarray(np.zeros((20, 90, 3), np.uint8)).save(photos / "flat.png")
    folder = lay_out(given(photos), Photos(count=5, side=32), tmp_path / "laid")
    files = sorted(folder.iterdir())
    assert len(files) == 5
    for file in files:
        pixels = load(file).pixels
        whole = load(photos / file.name.partition("-")[2]).pixels
        top, left = max(0, (whole.shape[0] - 32) // 2), (whole.shape[1] - 32) // 2
        assert (pixels == whole[top : top + 32, left : left + 32]).all()
    before = [file.stat().st_mtime_ns for file in files]
    assert lay_out(given(photos), Photos(count=5, side=32), tmp_path / "laid") == folder
    assert [file.stat().st_mtime_ns for file in files] == before
    everything = lay_out(given(photos), Photos(), tmp_path / "laid")
    assert everything != folder
    assert len(list(everything.iterdir())) == 7


def test_half_laid_out_photos_are_laid_out_again(tmp_path: Path) -> None:
    sources = given(make_photos(tmp_path / "photos", 4))

    def fails() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        raise ImageError("broken")

    with pytest.raises(ImageError):
        lay_out([*sources[:3], (sources[3][0], fails)], Photos(), tmp_path / "laid")
    assert len(list(lay_out(sources, Photos(), tmp_path / "laid").iterdir())) == 4


def test_a_suite_is_put_on_photos_but_not_one_of_pairs() -> None:
    suite = on_photos(load_suite(RECIPES / "suites" / "mixed.yaml"))
    assert {part.photos for part in suite.parts} == {Path()}
    assert [part.degrade for part in suite.parts][:2] == ["h-r", "h-n"]
    assert {part.dataset for part in suite.parts} == {None}
    with pytest.raises(ConfigError, match="leave out --test"):
        on_photos(load_suite(RECIPES / "suites" / "cdd11.yaml"))


GOOD = """title: T
source: S
scales: {tiny: {suite: mixed}}
columns: [{title: in, of: 7T}]
rows: [{title: a}, {title: b, peer: root}]
claims: [{text: c, row: a, over: b, columns: [in], at_least: 0}]
"""
BAD = {
    "row": ("over: b", "over: d", "t.yaml:6: claims.0.over: no row or column called 'd'; known: a, b"),
    "column": ("columns: [in]", "columns: [im]", "claims.0.columns: no row or column called 'im'"),
    "peer": ("peer: root", "peer: rooot", "t.yaml:5: rows.1.peer: no peer called 'rooot'"),
    "twins": ("title: b", "title: a", "rows: 2 are called 'a'"),
    "limits": ("at_least: 0", "at_least: 0, at_most: 1", "either at_least or at_most"),
    "source": ("of: 7T", "of: 7T, stage: x", "wants either 'of'"),
    "rows": ("rows: [{title: a}, {title: b, peer: root}]\nclaims", "rows: []\nclaim", "claim: Extra inputs"),
    "scale": ("tiny:", "huge:", "scales.huge"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_in_lines(case: str, tmp_path: Path) -> None:
    old, new, expected = BAD[case]
    path = tmp_path / "t.yaml"
    path.write_text(GOOD)
    assert load_table(path).row("b").peer == "root"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_table(path)
    assert any(expected in line for line in caught.value.problems), caught.value.problems


def test_parts_of_a_model_are_the_rows_of_its_overhead(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (
        Overhead("extractor", 2_000_000, 2_000_000, Measured(3 * 10**9, 0.25, 2**20)),
        Overhead("whole", 12_500_000, 3_000_000, Measured(4 * 10**9, 0.5, None)),
    )
    asked: list[Setting] = []

    def measured(load: object, setting: Setting) -> tuple[Overhead, ...]:
        asked.append(setting)
        return parts[:1]

    monkeypatch.setattr(overhead, "model_overhead", measured)
    monkeypatch.setattr(overhead, "published_overhead", lambda catalogue, name, setting: (parts[1],))
    order = Order("overhead", load_table(RECIPES / "tables" / "overhead.yaml"), "tiny")
    costs = Costs(size=64, repeats=2, architectures=("restormer",))
    made_order, made = overhead.make_overhead(order, costs, lambda: cast(Mixture, None), load_catalogue, 1)
    assert asked == [Setting(64, 2, 1)]
    assert markdown(made_order.table, made.found).splitlines()[2:] == [
        "| extractor | 2.00 | 2.00 | 3.0 | 0.250 | 9 |",
        "| whole | 12.50 | 3.00 | 4.0 | 0.500 | - |",
        "| UniRestorer (paper) | 627.00 | - | 1155.8 | 0.484 | - |",
    ]
    assert made.measured == "an image of 64 x 64 pixels, median of 2 runs"


def test_a_level_that_was_never_used_has_a_share_of_nothing() -> None:
    row = Line(title="ours")
    scores = {("auto", "7T", "share.DEGREE"): 1.0, ("auto", "7T", "standard.psnr"): 24.0}
    root, psnr = (Column(title=name, of="7T", metrics=(name,)) for name in ("share.ALL", "paper.psnr"))
    assert value_of(row, root, "share.ALL", [Found({"seed": "7"}, scores=scores)]).seeds == {"7": 0.0}
    assert not value_of(row, root, "share.ALL", [Found({"seed": "7"})]).seeds
    assert not value_of(row, psnr, "paper.psnr", [Found({"seed": "7"}, scores=scores)]).seeds
