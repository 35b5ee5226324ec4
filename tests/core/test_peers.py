"""Peers of one model share its experts' outputs; runs go on where they stopped; failures stay alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from unirestorer.core import tiles
from unirestorer.core.errors import ConfigError, ImageError, PluginError, ShapeError, WeightsError
from unirestorer.core.evaluating.cases import Case
from unirestorer.core.evaluating.metrics import Metrics, psnr
from unirestorer.core.evaluating.opening import Entry
from unirestorer.core.evaluating.peers import (
    Bench,
    FunctionPeer,
    InputPeer,
    OraclePeer,
    Peer,
    Restored,
    model_peer,
    weights_peer,
)
from unirestorer.core.evaluating.report import Report, to_json
from unirestorer.core.evaluating.running import Journal, evaluate
from unirestorer.core.evaluating.suite import Part, Suite
from unirestorer.core.images import Picture
from unirestorer.core.mixture import Mixture
from unirestorer.core.models import new_network
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.restoring import Restorer
from unirestorer.core.treatment import Treatment
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from .tiny_world import make_run

Pixels = NDArray[np.uint8]

SUITE = Suite(
    name="test",
    title="a test",
    parts=(
        Part(name="noise", task="noise", photos=Path(), degrade="noise"),
        Part(name="nameless", photos=Path(), degrade="haze"),
        Part(name="untrue", task="rain", photos=Path()),
    ),
)
CATALOGUE = load_catalogue()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    run_pipeline(make_run(folder, "whole"))
    return folder / "whole"


@pytest.fixture
def bench(registry: Path) -> Bench:
    return Bench(Restorer(Mixture(open_registry(registry), CATALOGUE)))


def case(part: str = "noise", number: int = 0, size: tuple[int, int] = (40, 48)) -> Case:
    rng = np.random.default_rng(number)
    truth = rng.integers(60, 200, (*size, 3), dtype=np.uint8)
    damaged = np.clip(truth + rng.normal(0, 30, truth.shape), 0, 255).astype(np.uint8)
    task = SUITE.part(part).task
    return Case(part, f"{number}.png", task, damaged, truth if SUITE.part(part).has_truth else None)


def rank(restored: Pixels, truth: Pixels, task: str | None) -> float:
    return psnr(restored, truth, task=task)


def everyone(bench: Bench) -> list[Peer]:
    modes = [model_peer(name, bench, {}) for name in ("auto", "root", "leaf-only", "instruction")]
    return [InputPeer(), *modes, OraclePeer(bench, rank)]


def counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each expert's network runs from now on, by node."""
    calls: Counter[str] = Counter()
    load = bench.mixture.expert

    def expert(node: int) -> object:
        found = load(node)
        found.module.register_forward_pre_hook(lambda module, arguments: calls.update([found.name]))
        return found

    monkeypatch.setattr(bench.mixture, "_cache_bytes", 0)  # so that every loading is a new module, hooked once
    monkeypatch.setattr(bench.mixture, "expert", expert)
    return calls


# Modes


def test_auto_is_what_a_user_gets(bench: Bench) -> None:
    image = case()
    restored = model_peer("auto", bench, {}).restore(image)
    wanted = Restorer(bench.mixture).restore(Picture(image.damaged))
    assert np.array_equal(restored.pixels, wanted.pixels)
    assert restored.node == wanted.experts[0]
    assert restored.estimate is not None
    assert restored.estimate.path == wanted.estimate.path


def test_a_large_image_is_tiled_as_in_restoring(registry: Path) -> None:
    mixture = Mixture(open_registry(registry), CATALOGUE)
    image = case(size=(70, 110))
    for tile in (48, None):
        treatment = Treatment(tile=tile or 0, overlap=16 if tile else 64)
        restorer = Restorer(mixture, treatment)
        pixels = model_peer("root", Bench(restorer), {}).restore(image).pixels
        expert = mixture.expert(0)
        wanted = tiles.run_pixels(
            image.damaged, expert.module, expert.size, treatment.tile or None, treatment.overlap or 0
        )
        assert np.array_equal(pixels, wanted)


def test_root_and_leaf_only_stay_on_their_level(bench: Bench) -> None:
    names = bench.mixture.level_names
    for number in range(4):
        root, leaf = (model_peer(name, bench, {}).restore(case(number=number)) for name in ("root", "leaf-only"))
        assert (root.level, root.node) == (names[0], bench.mixture.node_names[0])
        assert leaf.level == names[-1]


def test_an_instruction_tells_the_task_of_the_part(bench: Bench) -> None:
    peer = model_peer("instruction", bench, {})
    assert peer.refuses(SUITE.part("noise")) == ""
    assert "no name" in peer.refuses(SUITE.part("nameless"))
    assert "unknown task 'rain'" in peer.refuses(SUITE.part("untrue"))
    restored = peer.restore(case())
    assert restored.estimate is not None
    assert restored.estimate.task == "noise"


# The oracle


def test_the_oracle_is_the_best_of_all_experts(bench: Bench) -> None:
    for number in range(3):
        image = case(number=number)
        assert image.truth is not None
        values = []
        for node in range(len(bench.mixture.hierarchy)):
            expert = bench.mixture.expert(node)
            output = image.damaged if expert.identity else tiles.run_pixels(image.damaged, expert.module, expert.size)
            values.append(psnr(output, image.truth))
        restored = OraclePeer(bench, rank).restore(image)
        assert psnr(restored.pixels, image.truth) == max(values)
        assert restored.node == bench.mixture.node_names[int(np.argmax(values))]
        assert restored.estimate is None


def test_the_oracle_ranks_by_the_convention_that_it_is_given(bench: Bench) -> None:
    image = case()
    worst = OraclePeer(bench, lambda restored, truth, task: -rank(restored, truth, task)).restore(image)
    assert image.truth is not None
    assert psnr(worst.pixels, image.truth) < psnr(OraclePeer(bench, rank).restore(image).pixels, image.truth)
    assert "no truth" in OraclePeer(bench, rank).refuses(SUITE.part("untrue"))


def test_every_expert_runs_once_an_image(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(bench, monkeypatch)
    image = case()
    for peer in everyone(bench):
        peer.restore(image)
    networks = {
        bench.mixture.node_names[node]
        for node in range(len(bench.mixture.hierarchy))
        if not bench.mixture._load(node).identity
    }
    assert calls == dict.fromkeys(networks, 1)


def test_nothing_is_kept_of_the_image_before_nor_of_experts_that_nobody_chose(bench: Bench) -> None:
    peers = everyone(bench)
    for number in range(2):
        image = case(number=number)
        for peer in peers:
            peer.restore(image)
        assert bench._case is image
        assert len(bench._outputs) <= len(peers) - 2


# Weights and functions


def test_a_file_of_weights_is_a_peer(registry: Path, tmp_path: Path) -> None:
    network = Mixture(open_registry(registry), CATALOGUE).expert(0).module
    state = {name: weights.contiguous() for name, weights in network.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    peer = weights_peer("mine", CATALOGUE.expert("resunet"), tmp_path / "weights.safetensors", "CC-BY-4.0")
    image = case()
    wanted = tiles.run_pixels(image.damaged, network, peer.size)
    assert np.array_equal(peer.restore(image).pixels, wanted)
    assert peer.facts["licence"] == "CC-BY-4.0"
    assert peer.facts["parameters"] == sum(weights.numel() for weights in network.parameters())


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_file(nn.Conv2d(3, 3, 1).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"weights\.safetensors: is no 'resunet'"):
        weights_peer("mine", CATALOGUE.expert("resunet"), tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match="no file of weights tells"):
        weights_peer("mine", CATALOGUE.expert("lora"), tmp_path / "weights.safetensors")


def test_a_network_runs_in_tiles(tmp_path: Path) -> None:
    spec = CATALOGUE.expert("resunet")
    network = new_network(spec, spec.config.model_validate({"widths": [8, 8], "encoder": [1, 1], "decoder": [1]}))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    peer = weights_peer("mine", spec, tmp_path / "w.safetensors")
    assert peer.restore(case(size=(530, 33))).pixels.shape == (530, 33, 3)


def test_a_function_is_a_peer_that_cannot_harm_the_others() -> None:
    image = case()
    before = image.damaged.copy()

    def invert(pixels: Pixels) -> Pixels:
        pixels ^= 255
        return pixels

    assert np.array_equal(FunctionPeer("mine", invert).restore(image).pixels, 255 - before)
    assert np.array_equal(image.damaged, before)


@pytest.mark.parametrize("wrong", [lambda pixels: pixels[:5], lambda pixels: pixels / 255.0, lambda pixels: None])
def test_a_function_that_returns_no_such_image_is_told(wrong: object) -> None:
    with pytest.raises(ShapeError, match=r"peer mine: returned .*, wanted \(40, 48, 3\) uint8"):
        FunctionPeer("mine", wrong).restore(case())  # type: ignore[arg-type]


def test_a_function_that_fails_is_told() -> None:
    with pytest.raises(PluginError, match="peer mine: ZeroDivisionError: "):
        FunctionPeer("mine", lambda pixels: pixels * (1 // 0)).restore(case())


# Runs


class Mine:
    """A peer that stops the run, or fails, at some image."""

    name = "mine"
    facts: Mapping[str, object] = {}

    def __init__(self, at: str = "", error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.error = at, error
        self.seen: list[str] = []

    def refuses(self, part: Part) -> str:
        return ""

    def restore(self, case: Case) -> Restored:
        self.seen.append(case.image)
        if case.image == self.at:
            raise self.error("as planned")
        return Restored(case.damaged // 2, 0.25)


def entries() -> list[Entry]:
    return [Entry.of(case(part, number)) for part in ("noise", "untrue") for number in range(4)]


def measured(
    bench: Bench, mine: Mine, path: Path | None = None, arguments: Mapping[str, object] | None = None
) -> Report:
    journal = None if path is None else Journal.open(path, arguments or {"seed": 1})
    return evaluate(SUITE, entries(), [*everyone(bench), mine], Metrics(), journal=journal)


def test_a_killed_run_goes_on_to_the_same_report(bench: Bench, tmp_path: Path) -> None:
    whole = measured(bench, Mine())
    path = tmp_path / "out" / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measured(bench, Mine(at="2.png"), path)
    with path.open("a") as file:
        file.write('{"part": "noise", "ima')  # cut off by the kill
    mine = Mine()
    assert to_json(measured(bench, mine, path)) == to_json(whole)
    assert mine.seen == ["2.png", "3.png", "0.png", "1.png", "2.png", "3.png"]
    again = Mine()
    assert to_json(measured(bench, again, path)) == to_json(whole)
    assert again.seen == []


def test_rows_of_other_arguments_are_refused_in_one_line(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    measured(bench, Mine(), path)
    with pytest.raises(ConfigError, match=r"begun with other arguments \(seed, limit\)") as caught:
        measured(bench, Mine(), path, {"seed": 2, "limit": 3})
    assert len(str(caught.value).splitlines()) == 1
    for other in (b"hello\n", b"\xff\xfe\n"):
        path.write_bytes(other)
        with pytest.raises(ConfigError, match="is not the journal of an evaluation"):
            measured(bench, Mine(), path)


def test_rows_say_what_was_done(bench: Bench) -> None:
    report = measured(bench, Mine())
    rows = {(row.part, row.image, row.peer): row for row in report.rows}
    auto, oracle, mine = (rows["noise", "0.png", peer] for peer in ("auto", "oracle", "mine"))
    assert auto.node in bench.mixture.node_names
    assert auto.level in bench.mixture.level_names
    assert auto.found in ("clean", "lowlight", "noise")
    assert 0 < (auto.leaf_probability or 0) <= 1
    assert 0 < (auto.level_probability or 0) <= 1
    assert (oracle.found, oracle.leaf_probability) == (None, None)
    assert (mine.node, mine.seconds) == (None, 0.25)
    assert set(mine.scores) == {"standard.psnr", "standard.ssim", "paper.psnr", "paper.ssim"}
    assert rows["untrue", "0.png", "auto"].scores == {}
    assert report.missing == (
        "untrue: instruction: " + model_peer("instruction", bench, {}).refuses(SUITE.parts[2]),
        "untrue: oracle: no truth to find the best expert by",
    )


def test_a_failure_is_told_and_the_rest_goes_on(bench: Bench) -> None:
    told: list[str] = []

    def broken() -> Case:
        raise ImageError("1.png: is damaged")

    listed = [Entry.of(case()), Entry("noise", "1.png", broken), Entry.of(case(number=2))]
    peers: list[Peer] = [InputPeer(), Mine("2.png", ImageError)]
    report = evaluate(SUITE, listed, peers, Metrics(), tell=told.append)
    assert told == ["noise: 1.png: 1.png: is damaged", "noise: 2.png: mine: as planned"]
    assert report.missing == tuple(told)
    assert [(row.image, row.peer) for row in report.rows] == [("0.png", "input"), ("0.png", "mine"), ("2.png", "input")]
