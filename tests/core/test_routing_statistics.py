"""Counts and means of routed images, by hand, and every form in which they are written."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unirestorer.core.routing_statistics import (
    EVERYTHING,
    UNNAMED,
    Routed,
    Statistics,
    draw,
    markdown,
    statistics,
    to_csv,
    to_json,
)

ROWS = [
    Routed("rain", "rain/heavy", "DEGREE", 0.9, 0.8, "rain", False),
    Routed("rain", "rain/heavy", "DEGREE", 0.7, 0.6, "rain", False),
    Routed("rain", "all", "ALL", 0.5, 1.0, "haze", True),
    Routed("fog", "haze", "TYPE", 0.6, 0.6, "haze", True),
]
NODES, LEVELS = ("all", "rain", "rain/heavy", "haze"), ("ALL", "TYPE", "DEGREE")


@pytest.fixture
def found() -> Statistics:
    return statistics(ROWS, NODES, LEVELS)


def test_images_are_counted_by_true_type(found: Statistics) -> None:
    assert list(found.types) == ["fog", "rain"]
    rain = found.types["rain"]
    assert (rain.images, rain.nodes, rain.levels) == (3, {"rain/heavy": 2, "all": 1}, {"DEGREE": 2, "ALL": 1})
    means = [rain.leaf, rain.level, rain.right, rain.unknown]
    assert means == pytest.approx([0.7, 0.8, 2 / 3, 1 / 3])
    assert found.types["fog"].right == 0
    everything = found.everything
    assert (everything.images, everything.unknown, everything.right) == (4, 0.5, 0.5)
    assert (found.nodes, found.levels) == (NODES, LEVELS)


def test_what_nobody_says_is_left_out_of_means() -> None:
    found = statistics([Routed(None, "all", "ALL"), Routed("rain", "rain", "TYPE", 0.5)])
    assert list(found.types) == ["rain", UNNAMED]
    assert (found.everything.leaf, found.everything.level, found.everything.right) == (0.5, None, None)
    assert found.everything.unknown is None
    assert (found.nodes, found.levels) == (("all", "rain"), ("ALL", "TYPE"))
    assert statistics([]).everything.images == 0


def test_markdown_has_a_row_for_every_type_and_every_expert_used(found: Statistics) -> None:
    lines = markdown(found).splitlines()
    assert "| rain | 3 | 33% |  | 67% | 0.70 | 0.80 | 67% | 33% |" in lines
    assert f"| {EVERYTHING} | 4 | 25% | 25% | 50% | 0.68 | 0.75 | 50% | 50% |" in lines
    assert "| expert | fog | rain | all images |" in lines
    assert "| rain/heavy |  | 67% | 50% |" in lines
    assert "Never used: rain." in lines
    alone = markdown(statistics(ROWS[:2], NODES, LEVELS))
    assert EVERYTHING not in alone


def test_csv_and_json_have_the_counts(found: Statistics) -> None:
    fog, rain, everything = csv.DictReader(io.StringIO(to_csv(found)))
    assert (rain["true_type"], rain["images"], rain["node:rain/heavy"], rain["level:ALL"]) == ("rain", "3", "2", "1")
    assert (fog["node:haze"], fog["node:all"], fog["unknown"]) == ("1", "0", "1")
    assert everything["leaf_probability"] == "0.675"
    values = json.loads(to_json(found))
    assert values["types"]["rain"]["nodes"] == {"rain/heavy": 2, "all": 1}
    assert values["everything"]["images"] == 4


@pytest.mark.parametrize("name", [r"$\frac$", "雨", "a|b"])
def test_folders_may_be_called_anything(name: str, tmp_path: Path) -> None:
    odd = statistics([Routed(name, name, "TYPE")])
    draw(odd, tmp_path / "map.png")
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown(odd).splitlines() if line.startswith("| expert")}
    assert widths == {3}
    assert name in to_csv(odd)


def test_the_heat_map_is_a_picture_that_grows_with_the_table(found: Statistics, tmp_path: Path) -> None:
    draw(found, tmp_path / "map.png")
    many = [Routed(f"type{k % 9}", f"node{k}", "TYPE") for k in range(60)]
    draw(statistics(many), tmp_path / "many.png")
    with Image.open(tmp_path / "map.png") as small, Image.open(tmp_path / "many.png") as large:
        assert large.width > 2 * small.width
        assert large.height > 1.5 * small.height
        assert len(np.unique(np.asarray(small.convert("RGB")).reshape(-1, 3), axis=0)) > 20
