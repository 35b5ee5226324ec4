"""Runtimes give PyTorch's numbers, from a cache on disk that nothing can spoil, in several threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from unirestorer.core.contracts import Network, Runtime, SizeRequirement
from unirestorer.core.errors import MissingExtraError, UnknownNameError
from unirestorer.core.mixture import Expert
from unirestorer.core.restoring import blended
from unirestorer.core.runtimes import RUNTIMES, UnsupportedError, choosing, runtime_of, states
from unirestorer.core.runtimes.cache import Cache, default_folder
from unirestorer.core.runtimes.comparing import LIMIT, compare
from unirestorer.core.runtimes.compiled import compiler
from unirestorer.core.runtimes.eager import EAGER, Eager
from unirestorer.core.runtimes.openvino import OpenVino
from unirestorer.plugins.manager import load_catalogue

SIZE = SizeRequirement(16, 16)
SHAPES = ((64, 96), (32, 32), (160, 48), (16, 16))


def network(name: str = "resunet", seed: int = 0) -> nn.Module:
    """A small network with random weights, as a registry gives it."""
    torch.manual_seed(seed)
    spec = load_catalogue().experts[name]
    assert spec.build is not None
    config = spec.config(widths=[8, 8], encoder=[1, 1], decoder=[1]) if name == "resunet" else spec.trial
    module = spec.build(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def expert(module: nn.Module, key: str, run: Network | None = None) -> Expert:
    return Expert(module, SIZE, identity=False, name=key, run=run, key=key)


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * width))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def openvino(cache: Cache) -> OpenVino:
    pytest.importorskip("openvino")
    return OpenVino(cache=cache)


def entries(cache: Cache) -> list[Path]:
    assert cache.folder is not None
    return sorted(cache.folder.glob("*.model"))


@pytest.mark.parametrize("name", ["resunet", "nafnet", "swinir", "retinexformer"])
def test_openvino_gives_the_numbers_of_pytorch_at_any_size(openvino: OpenVino, name: str) -> None:
    module = network(name)
    run = openvino.prepare(module, name, SIZE)
    with torch.inference_mode():
        for shape in SHAPES:
            picture = image(*shape)
            before = picture.clone()
            gap = (run(picture) - module(picture)).abs().max()
            assert gap < 1e-4
            assert torch.equal(picture, before)


class Normed(nn.Module):
    """A network with one of the ways in which layer normalisation is written."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.shuffle = way, nn.PixelShuffle(2)
        self.start, self.end = nn.Conv2d(12, 8, 1), nn.Conv2d(8, 12, 1)
        self.weight, self.bias = nn.Parameter(torch.rand(8)), nn.Parameter(torch.rand(8))

    def forward(self, images: Tensor) -> Tensor:
        x = self.start(F.pixel_unshuffle(images, 2))
        last, (height, width) = x.permute(0, 2, 3, 1), x.shape[2:]
        if self.way == "channels":
            x = F.layer_norm(last, (8,), self.weight, self.bias, 1e-5).permute(0, 3, 1, 2)
        elif self.way == "without bias":
            x = F.layer_norm(last, (8,), self.weight, None, 1e-5).permute(0, 3, 1, 2)
        elif self.way == "bare":
            x = F.layer_norm(last, (8,)).permute(0, 3, 1, 2)
        elif self.way == "computed weights":
            x = F.layer_norm(last, (8,), 1 + self.weight * images.mean(), self.bias).permute(0, 3, 1, 2)
        elif self.way == "kept last":
            x = (F.layer_norm(last, (8,), self.weight, self.bias) * self.weight).permute(0, 3, 1, 2)
        elif self.way == "turned otherwise":
            x = F.layer_norm(x.permute(0, 3, 2, 1), (8,), self.weight, self.bias).permute(0, 3, 2, 1)
        elif self.way == "tokens":
            x = (
                F.layer_norm(x.flatten(2).transpose(1, 2), (8,), self.weight, self.bias)
                .transpose(1, 2)
                .reshape(1, 8, height, width)
            )
        else:
            x = F.layer_norm(last.reshape(1, -1, 4, 8), (4, 8)).reshape(1, height, width, 8).permute(0, 3, 1, 2)
        return self.shuffle(self.end(x))  # type: ignore[no-any-return]


WAYS = ("channels", "without bias", "bare", "computed weights", "kept last", "turned otherwise", "tokens", "two axes")


@pytest.mark.parametrize("way", WAYS)
def test_operations_that_are_translated_here_are_right(openvino: OpenVino, way: str) -> None:
    module = Normed(way).eval()
    run = openvino.prepare(module, way, SIZE)
    with torch.inference_mode():
        for shape in SHAPES:
            assert (run(image(*shape)) - module(image(*shape))).abs().max() < 1e-5


def test_any_memory_layout_gives_equal_bits(openvino: OpenVino) -> None:
    run, picture = openvino.prepare(network(), "layout", SIZE), image(48, 64)
    other = picture.contiguous(memory_format=torch.channels_last)
    wide = torch.cat([picture, picture], dim=3)[:, :, :, :64]
    assert torch.equal(run(picture), run(other))
    assert torch.equal(run(picture), run(wide))


def test_results_outlive_later_calls(openvino: OpenVino) -> None:
    run = openvino.prepare(network(), "outlive", SIZE)
    first = run(image(64, 64))
    kept = first.clone()
    for shape in SHAPES:
        run(image(*shape))
    assert torch.equal(first, kept)


def test_a_later_run_takes_the_kept_model_and_gives_equal_bits(openvino: OpenVino, cache: Cache) -> None:
    made = openvino.prepare(network(), "later", SIZE)(image(64, 96))
    (entry,) = entries(cache)
    written = entry.stat().st_mtime_ns
    os.utime(entry, ns=(1, 1))
    # Another network under the same key: were it translated again, its own numbers would come out.
    again = OpenVino(cache=Cache(cache.folder)).prepare(network(seed=9), "later", SIZE)
    assert torch.equal(again(image(64, 96)), made)
    assert entry.stat().st_mtime_ns >= written, "its use is noted"
    other = openvino.prepare(network(seed=9), "another", SIZE)(image(64, 96))
    assert not torch.equal(other, made)
    assert len(entries(cache)) == 2


def test_damaged_entries_are_made_again(openvino: OpenVino, cache: Cache) -> None:
    module = network()
    made = openvino.prepare(module, "damaged", SIZE)(image(64, 96))
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    spoiled = bytearray(whole)
    spoiled[len(whole) // 2] ^= 1
    for content in (b"", whole[:100], whole[:-1], bytes(spoiled)):
        entry.write_bytes(content)
        assert torch.equal(openvino.prepare(module, "damaged", SIZE)(image(64, 96)), made)
        assert len(cache.read(entry.stem) or b"") > 10_000
    cache.write(entry.stem, b"whole, but no model")
    assert torch.equal(openvino.prepare(module, "damaged", SIZE)(image(64, 96)), made)
    assert len(cache.read(entry.stem) or b"") > 10_000


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "file").write_text("in the way")
    run = OpenVino(cache=Cache(tmp_path / "file" / "cache")).prepare(network(), "nowhere", SIZE)
    assert (run(image(64, 96)) - network()(image(64, 96))).abs().max() < 1e-4


def test_threads_share_a_network(openvino: OpenVino) -> None:
    run = openvino.prepare(network(), "threads", SIZE)
    pictures = [image(16 * (1 + index % 5), 16 * (1 + index % 7)) for index in range(60)]
    wanted = [run(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        for made, one in zip(pool.map(run, pictures), wanted, strict=True):
            assert torch.equal(made, one)


def test_bits_do_not_depend_on_the_number_of_threads(openvino: OpenVino, cache: Cache) -> None:
    made = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            made.append(OpenVino(cache=cache).prepare(network(), "number", SIZE)(image(160, 160)))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*made)


class Mean(nn.Module):
    """Divides by the height that it was traced with: right at one size only."""

    def forward(self, images: Tensor) -> Tensor:
        return images.sum(dim=2, keepdim=True).expand_as(images) / float(int(images.shape[2]))


class Moody(nn.Module):
    """What no tracer follows: another result every time."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(images.numpy().cumsum(2)) % 1 if float(images.mean()) > 0.9 else images + torch.rand(1)


@pytest.mark.parametrize("module", [Mean(), Moody()])
def test_what_comes_out_differently_is_not_taken(openvino: OpenVino, cache: Cache, module: nn.Module) -> None:
    with pytest.raises(UnsupportedError) as caught:
        openvino.prepare(module, "wrong", SIZE)
    assert len(str(caught.value).splitlines()) == 1
    assert not entries(cache)


def test_experts_are_blended_whatever_runs_them(openvino: OpenVino) -> None:
    modules = [network(seed=seed) for seed in (1, 2)]
    eager = blended(
        [
            (expert(module, str(key)), weight)
            for key, (module, weight) in enumerate(zip(modules, (0.3, 0.7), strict=True))
        ]
    )
    fast = blended(
        [
            (expert(module, f"blend {key}", openvino.prepare(module, f"blend {key}", SIZE)), weight)
            for key, (module, weight) in enumerate(zip(modules, (0.3, 0.7), strict=True))
        ]
    )
    with torch.inference_mode():
        assert (fast.network(image(64, 96)) - eager.network(image(64, 96))).abs().max() < 1e-5


def test_bf16_rounds_and_is_kept_apart(openvino: OpenVino, cache: Cache) -> None:
    rough = OpenVino("bf16", cache)
    assert rough.name == "openvino-bf16"
    picture = image(64, 96)
    exact = openvino.prepare(network(), "precision", SIZE)(picture)
    made = rough.prepare(network(), "precision", SIZE)(picture)
    assert len(entries(cache)) == 2
    assert (made - exact).abs().max() < 0.05


def test_the_least_recently_used_entries_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=3500)
    for number, name in enumerate("abcd"):
        cache.write(name, bytes(1000))
        if name != "d":
            os.utime(tmp_path / f"{name}.model", (number, number))
        if name == "c":
            assert cache.read("a") == bytes(1000), "used again, so it stays"
    assert [path.stem for path in entries(cache)] == ["a", "c", "d"]
    cache.write("large", bytes(4000))
    assert cache.read("large") is None, "what is above the limit alone is not kept"
    assert cache.read("d") == bytes(1000)


def test_abandoned_parts_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / ".a.model.1234.part", tmp_path / ".b.model.1234.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (1, 1))
    Cache(tmp_path).write("c", b"whole")
    assert (old.exists(), new.exists()) == (False, True)


_WRITER = """
import sys
from pathlib import Path
from unirestorer.core.runtimes.cache import Cache
cache = Cache(Path(sys.argv[1]), limit=10**6)
for turn in range(50):
    body = cache.read("one")
    assert body is None or len(set(body)) == 1 and len(body) == 100_000, len(body)
    cache.write("one", bytes([turn]) * 100_000)
    cache.write(f"{sys.argv[2]} {turn}", bytes(50_000))
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), str(number)]) for number in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert sum(path.stat().st_size for path in entries(Cache(tmp_path))) <= 1.3 * 10**6
    assert not list(tmp_path.glob(".*.part"))


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNIRESTORER_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("UNIRESTORER_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert default_folder() == tmp_path / "xdg" / "unirestorer"
        monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_folder() == tmp_path / ".cache" / "unirestorer"


def test_choosing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(state.name for state in states()) == RUNTIMES
    assert [state.name for state in states() if state.chosen] == [runtime_of().name]
    assert runtime_of("eager").name == "eager"
    with pytest.raises(UnknownNameError, match="did you mean 'openvino'"):
        runtime_of("opnvino")
    monkeypatch.setattr(choosing, "accelerator", lambda: None)
    monkeypatch.setattr(choosing, "_openvino", lambda: "")
    assert runtime_of() is EAGER
    with pytest.raises(MissingExtraError, match=r"pip install 'unirestorer\[openvino\]'"):
        runtime_of("openvino")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(MissingExtraError, match="install g\\+\\+"):
        runtime_of("compile")


def test_eager_is_the_network_itself() -> None:
    module, picture = network(), image(64, 96)
    assert torch.equal(
        EAGER.prepare(module, "", SIZE)(picture), module(picture.contiguous(memory_format=torch.channels_last))
    )
    assert Eager().device == "cpu"


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@pytest.mark.timeout(280)
def test_compile_gives_the_numbers_of_pytorch() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 3, 3, padding=1)).eval()
    run = runtime_of("compile").prepare(module, "", SizeRequirement())
    with torch.inference_mode():
        for shape in ((300, 420), (512, 400)):
            assert (run(image(*shape)) - module(image(*shape))).abs().max() < 1e-5


class Dim:
    """A runtime that is not the same: everything a little darker."""

    name = "dim"

    def prepare(self, module: nn.Module, key: str, size: SizeRequirement) -> Network:
        if key == "unloved":
            raise UnsupportedError("no")
        return lambda picture: module(picture) - 0.02


def test_comparing_finds_what_differs() -> None:
    experts = [expert(nn.Conv2d(3, 3, 1).eval(), key) for key in ("one", "unloved")]
    runtimes: list[Runtime] = [EAGER, Dim()]
    same, other = compare(runtimes, experts, image(64, 64))
    assert (same.gap, same.experts, same.equal) == (0.0, 2, True)
    assert LIMIT < other.gap < 0.021
    assert not other.equal
    assert (other.experts, other.unsupported) == (1, ("unloved: no",))
    assert replace(other, gap=LIMIT).equal
