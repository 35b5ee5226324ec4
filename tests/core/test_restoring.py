from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.errors import ConfigError, ImageError, ShapeError, UnknownNameError
from unirestorer.core.images import Picture, load, save
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Estimate, Expert
from unirestorer.core.reports import Outcome, outcome_json, outcome_line, outcome_text, write_report
from unirestorer.core.restoring import Restorer, centre
from unirestorer.core.treatment import Treatment


class Brighten(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image + 10 / 255


class FakeMixture:
    """Dark images are 'dark' (node 1), others 'clean' (node 2)."""

    tasks = ("clean", "dark")

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        if not instruction:
            return None
        tasks = instruction.tasks
        for task in tasks:
            if task not in self.tasks:
                raise UnknownNameError("task", task, self.tasks)
        return np.array([False, "dark" in tasks, "clean" in tasks])

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        self.seen.append(tuple(image.shape))
        dark = bool(image.mean() < 0.5) if allowed is None else bool(allowed[1])
        name = "dark" if dark else "clean"
        types = {"dark": 0.9 if dark else 0.1, "clean": 0.1 if dark else 0.9}
        return Estimate(1 if dark else 2, ("all", name), name, types, {"ALL": 0.2, "TYPE": 0.8}, types, (("all", 0.2),))

    def expert(self, node: int) -> Expert:
        return Expert(Brighten(), SizeRequirement(8, 16), node == 2, "dark" if node == 1 else "clean")


@pytest.fixture
def restorer() -> Restorer:
    return Restorer(FakeMixture(), Treatment(tile=64, overlap=16))


def dark(height: int = 100, width: int = 90) -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 100, (height, width, 3), dtype=np.uint8), icc=b"icc")


def test_a_damaged_picture_goes_through_its_expert(restorer: Restorer) -> None:
    done = restorer.restore(dark())
    assert np.array_equal(done.pixels, dark().pixels + 10)
    assert (done.tiles, done.unchanged, done.experts) == (4, False, ("dark",))
    assert done.picture.icc == b"icc"
    assert set(done.seconds) == {"route", "expert"}


def test_a_clean_picture_comes_back_as_it_was(restorer: Restorer) -> None:
    picture = Picture(np.full((9, 9, 3), 200, dtype=np.uint8))
    done = restorer.restore(picture)
    assert done.unchanged
    assert np.array_equal(done.pixels, picture.pixels)


def test_an_instruction_overrules_the_estimate(restorer: Restorer) -> None:
    assert restorer.restore(dark(), Instruction(("clean",))).unchanged
    assert restorer.diagnose(dark(), Instruction(("clean",))).task == "clean"
    with pytest.raises(UnknownNameError, match="unknown task 'drak'; did you mean 'dark'"):
        restorer.restore(dark(), Instruction(("drak",)))


def test_one_pixel_is_restored(restorer: Restorer) -> None:
    assert restorer.restore(Picture(np.zeros((1, 1, 3), dtype=np.uint8))).pixels.tolist() == [[[10, 10, 10]]]


def test_only_the_centre_is_looked_at_never_resized() -> None:
    mixture = FakeMixture()
    Restorer(mixture).diagnose(dark(2, 2000))
    Restorer(mixture).diagnose_tensor(torch.zeros(1, 3, 700, 30))
    assert mixture.seen == [(1, 3, 2, 512), (1, 3, 512, 30)]
    column = np.arange(10, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    assert torch.equal((centre(Picture(column), 4)[0, 0, 0] * 255).round(), torch.tensor([3.0, 4.0, 5.0, 6.0]))


def test_each_image_of_a_batch_takes_its_own_way(restorer: Restorer) -> None:
    batch = torch.stack([torch.full((3, 20, 30), 0.1), torch.full((3, 20, 30), 0.9)])
    done = restorer.restore_tensor(batch)
    assert torch.allclose(done.tensor[0], torch.tensor(0.1 + 10 / 255))
    assert torch.equal(done.tensor[1], batch[1])
    assert [estimate.task for estimate in done.estimates] == ["dark", "clean"]
    assert not done.unchanged
    with pytest.raises(ShapeError, match="a batch of 2"):
        _ = done.pixels


@pytest.mark.parametrize(
    "batch",
    [
        torch.zeros(3, 8, 8),
        torch.zeros(1, 4, 8, 8),
        torch.zeros(0, 3, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.full((1, 3, 8, 8), 255.0),
        torch.full((1, 3, 8, 8), torch.nan),
    ],
)
def test_tensors_that_are_no_images_are_refused(restorer: Restorer, batch: Tensor) -> None:
    with pytest.raises(ShapeError, match="wanted"):
        restorer.restore_tensor(batch)


def test_impossible_tiles_are_refused() -> None:
    with pytest.raises(ConfigError, match="overlap"):
        Treatment(tile=32, overlap=32)


def test_a_restoration_is_saved_as_a_file(restorer: Restorer, tmp_path: Path) -> None:
    done = restorer.restore(dark())
    save(tmp_path / "new" / "a.png", done.pixels, done.picture)
    assert np.array_equal(load(tmp_path / "new" / "a.png").pixels, done.pixels)
    assert load(tmp_path / "new" / "a.png").icc == b"icc"


def test_a_report_tells_everything(restorer: Restorer, tmp_path: Path) -> None:
    done = Outcome(Path("a.png"), Path("out/a.png"), restorer.restore(dark()))
    write_report(tmp_path / "report.json", map(outcome_text, [done, Outcome(Path("b.png"), error="broken")]))
    first, second = json.loads((tmp_path / "report.json").read_text())
    assert first == json.loads(json.dumps(outcome_json(done)))
    assert first["path"] == ["all", "dark"]
    assert first["type_probabilities"]["dark"] == pytest.approx(0.9)
    assert {"leaf_probabilities", "level_probabilities", "alternatives", "seconds", "unchanged"} <= first.keys()
    assert first["treatment"]["strength"] == 1
    assert [step["outcome"] for step in first["steps"]] == ["kept"]
    assert second == {"source": "b.png", "target": None, "state": "failed", "error": "broken", "instruction": {}}


def test_of_a_file_that_is_copied_nothing_is_said_to_have_changed(restorer: Restorer) -> None:
    bright = replace(dark(), pixels=np.full_like(dark().pixels, 200), format="JPEG", notes=("CMYK became RGB",))
    done = restorer.restore(bright)
    assert done.unchanged
    assert Outcome(Path("a.jpg"), Path("out/a.jpg"), done).notes == done.notes
    assert Outcome(Path("a.jpg"), Path("out/a.png"), done).notes == ("CMYK became RGB", *done.notes)


def test_a_result_is_told_in_one_line(restorer: Restorer) -> None:
    line = outcome_line(Outcome(Path("in/a.png"), Path("out/a.png"), restorer.restore(dark())))
    assert line.startswith("a.png  dark (0.90), expert all > dark, 0.")
    assert line.endswith(" s -> out/a.png")


def test_a_report_that_cannot_be_written_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.json", [])
