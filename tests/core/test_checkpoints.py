"""Public files of weights: what is read, and that nothing in a file runs."""

from __future__ import annotations

import argparse
import builtins
import collections
import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unirestorer.core.checkpoints import PREFIXES, WRAPPERS, read_state
from unirestorer.core.errors import UniRestorerError

STATE = {"conv.weight": torch.arange(12.0).reshape(3, 4), "conv.bias": torch.ones(3), "norm.steps": torch.tensor(7)}
OTHER = {"conv.weight": torch.zeros(3, 4)}


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def refusal(path: Path) -> str:
    """The one line of the error that reading ``path`` raises, without the path that it begins with."""
    with pytest.raises(UniRestorerError) as caught:
        read_state(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert line.isprintable()
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin", ".PTH"])
@pytest.mark.parametrize("new", [True, False])
def test_files_of_torch_are_read(suffix: str, new: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / f"weights{suffix}", STATE, _use_new_zipfile_serialization=new)
    assert equal(read_state(path), STATE)
    assert equal(read_state(str(path)), STATE)


def test_safetensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({f"module.{name}": value for name, value in STATE.items()}, path)
    assert {name: value.tolist() for name, value in read_state(path).items()} == {
        name: value.tolist() for name, value in STATE.items()
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float32])
def test_floating_point_becomes_float32_and_integers_stay(dtype: torch.dtype, tmp_path: Path) -> None:
    halves = {name: value.to(dtype) if value.is_floating_point() else value for name, value in STATE.items()}
    read = read_state(saved(tmp_path / "w.pth", halves))
    assert equal(read, STATE)
    assert [value.dtype for value in read.values()] == [torch.float32, torch.float32, torch.int64]


def test_parameters_become_plain_tensors(tmp_path: Path) -> None:
    read = read_state(saved(tmp_path / "w.pth", {"a": nn.Parameter(torch.ones(2))}))
    assert type(read["a"]) is Tensor
    assert not read["a"].requires_grad


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_are_unwrapped(name: str, tmp_path: Path) -> None:
    content = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, name: STATE, "args": {"lr": 1e-3}}
    assert equal(read_state(saved(tmp_path / "w.pth", content)), STATE)
    assert equal(read_state(saved(tmp_path / "w.pth", {"state_dict": {name: STATE}})), STATE)


@pytest.mark.parametrize("later", range(1, len(WRAPPERS)))
def test_of_two_wrappers_the_first_of_the_list_counts(later: int, tmp_path: Path) -> None:
    content = {WRAPPERS[later]: OTHER, WRAPPERS[later - 1]: STATE}
    assert equal(read_state(saved(tmp_path / "w.pth", content)), STATE)


def test_averaged_weights_come_before_others() -> None:
    assert WRAPPERS.index("params_ema") < WRAPPERS.index("params") < WRAPPERS.index("state_dict")


def test_a_wrapper_without_tensors_is_passed_over(tmp_path: Path) -> None:
    assert equal(read_state(saved(tmp_path / "w.pth", {"params_ema": {}, "params": STATE})), STATE)


def test_a_wrapper_of_any_name_is_unwrapped_where_it_is_the_only_one(tmp_path: Path) -> None:
    assert equal(read_state(saved(tmp_path / "w.pth", {"deblur": STATE, "step": 9})), STATE)


@pytest.mark.parametrize("prefix", [*PREFIXES, "module.model.", "module.module.", "net_g.module."])
def test_prefixes_of_every_name_are_cut_off(prefix: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", {"params": {prefix + name: value for name, value in STATE.items()}})
    assert equal(read_state(path), STATE)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["module.a", "other.b"], ["module.a", "other.b"]),
        (["model.0.weight", "model.1.bias"], ["model.0.weight", "model.1.bias"]),  # ESRGAN
        (["module.model.0.weight"], ["model.0.weight"]),
        (["module.0.weight"], ["0.weight"]),
        (["models.a"], ["models.a"]),
    ],
)
def test_other_names_stay(names: list[str], wanted: list[str], tmp_path: Path) -> None:
    assert list(read_state(saved(tmp_path / "w.pth", dict.fromkeys(names, torch.ones(1))))) == wanted


def test_plain_values_beside_tensors_are_left_out(tmp_path: Path) -> None:
    plain = {"epoch": 3, "loss": 0.5, "name": "best", "done": True, "none": None, "sizes": [1, (2, {"a": 3})]}
    assert equal(read_state(saved(tmp_path / "w.pth", STATE | plain)), STATE)


class Runs:
    """Unpickled by a reader that allows it, calls ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Names(collections.OrderedDict[str, Any]):
    """A subclass of what a state dict is, with a payload instead of its own way of being pickled."""

    payload: Runs

    def __reduce__(self) -> Any:
        return self.payload.call


def payloads(mark: Path) -> dict[str, tuple[Any, str]]:
    """Contents that create ``mark`` where they run, and the name that the refusal has to say."""
    system, touch = Runs(os.system, f"touch {mark}"), f"open({str(mark)!r}, 'w').close()"
    names = Names(STATE)
    names.payload = Runs(os.mkdir, str(mark))
    deep: Any = Runs(exec, touch)
    for _ in range(20):
        deep = [deep]
    return {
        "alone": (system, "posix.system"),
        "among tensors": ({**STATE, "w": system}, "posix.system"),
        "in a wrapper": ({"params": {**STATE, "w": Runs(eval, touch)}, "epoch": 1}, "eval"),
        "as metadata": ({"state_dict": STATE, "best": deep}, "exec"),
        "as the state dict": ({"state_dict": names}, "posix.mkdir"),
        "as a name": ({Runs(os.path.join, "a", "b"): STATE["conv.bias"]}, "posixpath.join"),
        "import": ({**STATE, "w": Runs(builtins.__import__, "antigravity")}, "__import__"),
        "pickle again": ({**STATE, "w": Runs(pickle.loads, pickle.dumps(system))}, "pickle.loads"),
        "loading again": ({**STATE, "w": Runs(torch.load, io.BytesIO())}, "torch.serialization.load"),
        "a network": (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        "options": ({**STATE, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
    }


PAYLOADS = sorted(payloads(Path("mark")))


def assert_refused_by_name(path: Path, name: str, mark: Path) -> None:
    said = refusal(path)
    assert not mark.exists()
    assert said.startswith("wants to run ")
    assert f"{name} when it is loaded, which a file of weights never needs; not loaded; use safetensors" in said


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_file_that_wants_code_is_refused_by_name(kind: str, new: bool, tmp_path: Path) -> None:
    content, name = payloads(tmp_path / "mark")[kind]
    path = saved(tmp_path / "w.pth", content, _use_new_zipfile_serialization=new)
    assert_refused_by_name(path, name, tmp_path / "mark")


@pytest.mark.parametrize("protocol", range(6))
def test_so_is_one_of_any_pickle_protocol(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = {**STATE, "w": Runs(os.system, f"touch {mark}")}
    assert_refused_by_name(saved(tmp_path / "w.pth", content, pickle_protocol=protocol), "posix.system", mark)
    bare = tmp_path / "bare.bin"
    bare.write_bytes(pickle.dumps(content["w"], protocol=protocol))
    assert_refused_by_name(bare, "posix.system", mark)


def test_the_payloads_are_real(tmp_path: Path) -> None:
    for kind in ("alone", "in a wrapper", "as metadata", "as the state dict", "pickle again"):
        mark = tmp_path / kind.replace(" ", "-")
        path = saved(tmp_path / "w.pth", payloads(mark)[kind][0])
        torch.load(path, weights_only=False)
        assert mark.exists(), kind


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pickle_behind_another_suffix_does_not_run(suffix: str, tmp_path: Path) -> None:
    path, mark = tmp_path / f"w{suffix}", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Runs(os.system, f"touch {mark}")))
    refusal(path)
    assert not mark.exists()


def written(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("w.pth", "<!DOCTYPE html>\n<html>Quota exceeded</html>", "is a web page"),
        ("w.safetensors", "\n <HTML><body>404</body></HTML>", "is a web page"),
        ("w.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "is a pointer of Git LFS"),
        ("w.pth", "", "is empty"),
        ("w.pth", "not weights", "is damaged, or no file of weights"),
        ("w.safetensors", "not weights at all", "is damaged"),
        ("w.onnx", "weights", "got a file '.onnx', wanted weights: .safetensors, .pth"),
        ("weights", "weights", "got a file '', wanted"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(name: str, data: str, problem: str, tmp_path: Path) -> None:
    assert problem in refusal(written(tmp_path / name, data))


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "w.pth")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("photo.txt", "hello")
    assert "is damaged, or no file of weights" in refusal(tmp_path / "w.pth")


def test_a_program_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("net/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("net/data.pkl", b"\x80\x02c__torch__.net\nNet\n)\x81.")  # an object of a compiled class
        archive.writestr("net/version", "3\n")
    assert "is a program (TorchScript)" in refusal(tmp_path / "w.pt")


def test_a_zip_that_unpacks_to_gigabytes_is_refused_before(tmp_path: Path) -> None:
    saved(tmp_path / "w.pth", {"w": torch.zeros(1_000_000)})
    with zipfile.ZipFile(tmp_path / "w.pth") as old, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry), compress_type=zipfile.ZIP_DEFLATED)
    assert "unpacks to more than 8 times its size" in refusal(tmp_path / "bomb.pth")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "holds no tensors"),
        ({"params": {}}, "holds no tensors"),
        ({"epoch": 3}, "holds no tensors"),
        ([torch.ones(1)], "got a list, wanted a state dict"),
        (torch.ones(1), "got a Tensor, wanted a state dict"),
        ({"a": torch.ones(1), "rest": {"b": torch.ones(1)}}, "tensors inside 'rest', too"),
        ({"generator": OTHER, "discriminator": OTHER}, "tensors inside 'generator', too"),
        ({"a": torch.ones(1).expand(10**12)}, "'a' has 1000000000000 values, of which the file holds fewer"),
        ({"a\x1b[2J\n": torch.ones(1).expand(2)}, r"'a\x1b[2J\n' has 2 values"),
        ({"a": torch.ones(1, device="meta")}, "'a' is sparse, quantized or without values"),
        ({"a": torch.ones(2, 2).to_sparse()}, "'a' is sparse, quantized or without values"),
        ({"a": torch.tensor([1.0, float("nan")])}, "'a' holds values that are not numbers"),
    ],
    ids=str,
)
def test_what_is_no_state_dict_is_refused(content: Any, problem: str, tmp_path: Path) -> None:
    assert problem in refusal(saved(tmp_path / "w.pth", content))


def test_a_container_in_itself_is_no_endless_search(tmp_path: Path) -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert equal(read_state(saved(tmp_path / "w.pth", {**STATE, "loop": loop})), STATE)


@pytest.mark.parametrize("kind", ["zip.pth", "legacy.pth", "plain.safetensors"])
def test_damaged_files_are_one_line_and_never_run(kind: str, tmp_path: Path) -> None:
    """Cut anywhere or with a bit flipped anywhere; where there are checksums, no wrong weights come through either."""
    path, draw = tmp_path / kind, random.Random(0)
    if path.suffix == ".pth":
        saved(path, {"params": STATE, "epoch": 3}, _use_new_zipfile_serialization=kind == "zip.pth")
    else:
        save_file(STATE, path)
    whole, refused = path.read_bytes(), 0
    for trial in range(150):
        data = bytearray(whole)
        if trial % 5 == 0:
            del data[draw.randrange(len(data)) :]
        else:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            read = read_state(path)
        except UniRestorerError:
            refusal(path)
            refused += 1
        else:
            assert kind != "zip.pth" or equal(read, STATE)
    assert refused > 75
