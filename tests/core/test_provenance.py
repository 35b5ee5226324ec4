"""Files say how they were made, nothing about whoever made them, and can be made again, bit for bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from unirestorer.api import embedded_model
from unirestorer.core.errors import ConfigError, ImageError, UniRestorerError
from unirestorer.core.images import Picture, Saving, load, provenance_of, save
from unirestorer.core.instruction import AUTO, Instruction
from unirestorer.core.mixture import Mixture
from unirestorer.core.provenance import Provenance, describe, find_source, read
from unirestorer.core.replaying import Replayed, replay
from unirestorer.core.restoring import Restorer
from unirestorer.core.restoring.files import deliver, load_source
from unirestorer.core.treatment import Treatment
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    return Mixture(open_registry(embedded_model()), load_catalogue())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    dark = load(PHOTOS / "colosseum-lowlight.png").eight[100:196, 100:228].copy()
    path = tmp_path / "home" / "ada" / "photos" / "dark.png"
    save(path, dark, Picture(dark))
    return path


def made(
    mixture: Mixture,
    source: Path,
    target: Path,
    said: Instruction = AUTO,
    treatment: Treatment | None = None,
    saving: Saving | None = None,
) -> Provenance:
    """Restore ``source`` as the command line does."""
    restorer = Restorer(mixture, treatment or Treatment())
    done = restorer.restore(load_source(source, restorer.treatment), said)
    deliver(done, source, target, saving, describe(done, restorer, said, source, target, saving))
    text = provenance_of(target)
    assert text is not None
    return read(text, str(target))


def again(mixture: Mixture, target: Path, given: Path | None = None) -> Replayed:
    text = provenance_of(target)
    assert text is not None
    record = read(text, str(target))
    found = find_source(record, target, given)
    copy = target.with_name("again" + target.suffix)
    copy.unlink(missing_ok=True)
    return replay(record, text, Restorer(mixture, record.treated), found, target, copy)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_file_is_made_again_bit_for_bit(mixture: Mixture, source: Path, name: str) -> None:
    target = source.parent / "out" / name
    record = made(mixture, source, target)
    assert again(mixture, target).differences == ()
    assert record.source.path == "../dark.png"
    assert list(record.frames[0][0].experts) == ["lowlight/heavy"]
    assert record.frames[0][0].experts["lowlight/heavy"] == mixture.sha256("lowlight/heavy")


def test_whatever_was_asked_for(mixture: Mixture, source: Path) -> None:
    said = Instruction.of(task=["dark", "haze"], exclude="haze/thick")
    treatment = Treatment(strength=0.4, steps=2, tile=64, overlap=16, max_memory=10**9, guards=False)
    target = source.parent / "a.jpg"
    record = made(mixture, source, target, said, treatment, Saving(quality=71))
    assert record.said == said
    assert record.saved == Saving(quality=71)
    assert record.treated == replace(treatment, max_memory=None)
    assert record.frames[0][0].tiles is not None
    assert record.frames[0][0].tiles.count > 1
    assert again(mixture, target).differences == ()


def test_any_number_of_threads(mixture: Mixture, source: Path) -> None:
    target, threads = source.parent / "a.png", torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            if not target.exists():
                made(mixture, source, target, treatment=Treatment(steps=2))
            assert again(mixture, target).differences == ()
    finally:
        torch.set_num_threads(threads)


def test_the_tiles_that_memory_allowed_are_recorded(mixture: Mixture, source: Path) -> None:
    record = made(mixture, source, source.parent / "a.png", treatment=Treatment(tile=None, max_memory=2 * 10**9))
    assert record.treated.tile is not None
    assert record.treated.max_memory is None


def test_equal_runs_say_the_same_and_nothing_of_the_machine(mixture: Mixture, source: Path, tmp_path: Path) -> None:
    first, second = source.parent / "one" / "a.png", source.parent / "two" / "a.png"
    for target in (first, second):
        made(mixture, source, target)
    assert first.read_bytes() == second.read_bytes()
    text = provenance_of(first)
    assert text is not None
    assert str(tmp_path) not in text
    for word in ("home", "ada", "root", "20"):
        assert f"{word}/" not in text.replace("../", "")
    assert json.loads(text)["source"] == json.loads(text)["source"] | {"name": "dark.png", "path": "../dark.png"}


def test_no_name_above_what_source_and_result_share_is_told(
    mixture: Mixture, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unirestorer.core.provenance._DEEP", len(source.parents[1].resolve().parts))
    near = made(mixture, source, source.parents[1] / "out" / "a.png")
    assert near.source.path == "../photos/dark.png"
    far = made(mixture, source, tmp_path / "mnt" / "a.png")
    assert far.source.path == ""
    assert far.source.name == "dark.png"
    with pytest.raises(ImageError, match=r"does not say where its source 'dark.png' lies; name it, or a folder"):
        again(mixture, tmp_path / "mnt" / "a.png")
    assert again(mixture, tmp_path / "mnt" / "a.png", source).differences == ()
    assert again(mixture, tmp_path / "mnt" / "a.png", tmp_path / "home").differences == ()


def test_another_source_is_noticed(mixture: Mixture, source: Path) -> None:
    target = source.parent / "a.png"
    made(mixture, source, target)
    moved = source.rename(source.parent / "moved.png")
    with pytest.raises(ImageError, match="is not where it was"):
        again(mixture, target)
    assert again(mixture, target, moved).differences == ()
    shutil.copy(PHOTOS / "osprey-rain.png", source)
    with pytest.raises(ImageError, match=r"is not what .* was made of, its sha256 is another"):
        again(mixture, target)


def test_another_model_is_noticed(mixture: Mixture, source: Path) -> None:
    target = source.parent / "a.png"
    made(mixture, source, target)
    text = provenance_of(target)
    assert text is not None
    expert, routers = mixture.sha256("lowlight/heavy"), str(mixture.parts()["routers"])
    assert expert is not None
    for old, new, what in (
        (expert, "0" * 64, "the expert lowlight/heavy"),
        (routers, "0" * 64, "the routers"),
        ("lowlight/heavy", "lowlight/hewn", "the expert lowlight/hewn"),
    ):
        record = read(text.replace(old, new), "a.png")
        with pytest.raises(ConfigError, match=f"made by another model \\(.*{what}.*; name that one with --model"):
            replay(record, text, Restorer(mixture), source, target, source.parent / "b.png")
    assert not (source.parent / "b.png").exists()


def test_differences_are_told(mixture: Mixture, source: Path) -> None:
    target = source.parent / "a.png"
    made(mixture, source, target)
    text = provenance_of(target)
    assert text is not None
    pixels = load(target).pixels.copy()
    pixels[3, 4] += 9
    old = json.loads(text)
    old["versions"]["torch"] = "1.0"
    save(target, pixels, load(target), provenance=json.dumps(old))
    torch_is, pixels_are = again(mixture, target).differences
    assert torch_is == f"torch is {version('torch')}, was 1.0"
    assert pixels_are == "1 of 12288 pixels differ, by 9 at most"
    old["frames"][0][0]["outcome"] = "undone"
    save(target, load(source.parent / "again.png").pixels, load(target), provenance=json.dumps(old))
    (line,) = again(mixture, target).differences
    assert line.startswith("step 1 was lowlight/heavy")
    assert line.endswith("kept")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "the record: "),
        ("{}", "format: Field required"),
        ('{"format": 2}', "newer version"),
        ('{"format": "x"}', "format: "),
    ],
)
def test_damaged_provenance_is_one_line(text: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.png: its provenance ") as caught:
        read(text, "a.png")
    assert wrong in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("treatment", "strength"), 7),
        (("treatment", "nonsense"), 1),
        (("saving", "format"), "doc"),
        (("instruction", "colour"), ["red"]),
        (("source", "name"), "../../etc/passwd"),
        (("runtime",), 4),
    ],
)
def test_provenance_from_elsewhere_is_checked(
    mixture: Mixture, source: Path, place: tuple[str, ...], value: object
) -> None:
    target = source.parent / "a.png"
    made(mixture, source, target)
    values = json.loads(provenance_of(target) or "")
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    save(target, load(target).pixels, load(target), provenance=json.dumps(values))
    with pytest.raises(UniRestorerError, match=r"a\.png: its provenance is damaged: ") as caught:
        again(mixture, target)
    assert len(str(caught.value).splitlines()) == 1


def test_a_source_path_cannot_lead_astray_to_another_file(mixture: Mixture, source: Path, tmp_path: Path) -> None:
    target, secret = source.parent / "a.png", tmp_path / "secret.png"
    made(mixture, source, target)
    shutil.copy(PHOTOS / "osprey-rain.png", secret)
    values = json.loads(provenance_of(target) or "")
    values["source"]["path"] = str(secret)
    record = read(json.dumps(values), "a.png")
    with pytest.raises(ImageError, match="sha256 is another"):
        find_source(record, target, None)
