"""Files of weights that others published, read without running anything that is in them.

The one place that reads pickles: PyTorch's own reader for tensors alone (``weights_only``), which knows a short list of
functions that put tensors together and refuses every other. All files are untrusted.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import WeightsError

SAFETENSORS = ".safetensors"
TORCH = (".pth", ".pt", ".ckpt", ".bin")
WRAPPERS = ("params_ema", "g_ema", "params", "state_dict", "model_state_dict", "model", "net", "net_g", "netG")
"""Under which name a file holds its state dict, beside other things; the first that is there. Averages come first."""
CERTAIN = ("module.", "_orig_mod.", "net_g.", "netG.")
PREFIXES = (*CERTAIN, "model.", "net.", "network.", "generator.")
"""What wrappers (DataParallel, torch.compile, training frameworks) write before every name; networks themselves may
have a part of one of the last four names, and all layers in it by number (ESRGAN), so that it has to stay."""

_DEEPEST = 4  # wrappers inside each other
_LARGEST = 8  # times the size of the file
_WANTED = re.compile(r"GLOBAL (\w[\w.]*)")
_FOREIGN = re.compile(r"(?!torch\.|collections\.|_codecs\.)\w[\w.]*")
_PAGE = re.compile(rb"\s*(<!doctype|<html|<\?xml)", re.IGNORECASE)
_POINTER = b"version https://git-lfs"


def read_state(path: Path | str) -> dict[str, Tensor]:
    """The state dict in a file of weights: names to tensors on the CPU, floating point ones as float32.

    Reads safetensors, and files of ``torch.save`` (``TORCH``) as long as they hold nothing but tensors and plain
    values. What is inside ``WRAPPERS`` is unwrapped, ``PREFIXES`` that every name has are cut off, and plain values
    beside the tensors, such as the number of the epoch, are left out.

    Raises ``WeightsError`` in one line for a file that wants to run code when it is loaded, naming what; that is
    damaged (zip files of ``torch.save`` have checksums, the other formats have none); or that holds no state dict.
    """
    path = Path(path)
    _refuse_other_files(path)
    return _stripped(_tensors(_unwrapped(_load(path)), path))


def _refuse_other_files(path: Path) -> None:
    """What can be told from the name and the first bytes."""
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            raise WeightsError(f"{path}: is a folder; give the file of weights in it")
        with path.open("rb") as file:
            start = file.read(256)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file of weights") from None
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}; check its permissions") from None
    if suffix not in (SAFETENSORS, *TORCH):
        raise WeightsError(f"{path}: got a file '{suffix}', wanted weights: {', '.join((SAFETENSORS, *TORCH))}")
    if not start:
        raise WeightsError(f"{path}: is empty; download it again")
    if _PAGE.match(start):
        raise WeightsError(f"{path}: is a web page, not weights; open its link in a browser and download the file")
    if start.startswith(_POINTER):
        raise WeightsError(f"{path}: is a pointer of Git LFS, not weights; run 'git lfs pull' where it came from")


def _load(path: Path) -> Any:
    try:
        if path.suffix.lower() == SAFETENSORS:
            return load_file(path)
        if zipfile.is_zipfile(path):
            _check_sums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the reader, on formats of old and other versions
            return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except SafetensorError as error:
        raise WeightsError(f"{path}: is damaged: {_line(error)}; download it again") from None
    except MemoryError:
        raise WeightsError(f"{path}: does not fit into memory") from None
    except Exception as error:  # noqa: BLE001 - what a hostile or damaged pickle raises is not to be foreseen
        raise WeightsError(f"{path}: {_reason(path, error)}") from None


def _check_sums(path: Path) -> None:
    """PyTorch looks neither at the checksums of the zip files that it writes, nor at what they unpack to."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST * path.stat().st_size:
            raise WeightsError(f"{path}: unpacks to more than {_LARGEST} times its size; not loaded; use safetensors")
        broken = archive.testzip()
    if broken is not None:
        raise WeightsError(f"{path}: is damaged: the checksum of {broken!r} is wrong; download it again")


def _reason(path: Path, error: Exception) -> str:
    """Why ``torch.load`` refused, and what to do about it."""
    if "TorchScript" in str(error):
        return "is a program (TorchScript), not weights; use the state dict that it was made from"
    said = _WANTED.search(str(error))
    wanted = said[1] if said else _foreign(path)
    if wanted:
        return (
            f"wants to run {wanted} when it is loaded, which a file of weights never needs; not loaded; "
            "use safetensors, or a file with the state dict alone"
        )
    if "Unsupported operand" in str(error) and zipfile.is_zipfile(path):
        return "has another pickle protocol than torch.save by itself; save its state dict again, as safetensors"
    why = "its pickle cannot be read" if isinstance(error, pickle.UnpicklingError) else _line(error)
    return f"is damaged, or no file of weights: {why}; download it again"


def _foreign(path: Path) -> str | None:
    """What a pickle in ``path`` asks for beside PyTorch, whose reader does not say where it knows no protocol."""
    with suppress(Exception):  # the file ends, or goes on as no pickle
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return next(_names(file))
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as file:
                        return next(_names(file))
    return None


def _names(stream: IO[bytes]) -> Iterator[str]:
    """Raises whatever a stream that is no pickle makes ``pickletools`` raise."""
    while True:  # a file of the older format is several pickles
        texts, memory = ["", ""], list[str]()
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "MEMOIZE":
                memory.append(texts[-1])
            elif opcode.name.endswith("BINGET") and memory:
                texts.append(memory[int(argument or 0)])
            elif isinstance(argument, str):
                texts += argument.split(" ", 1) if opcode.name == "GLOBAL" else [argument]
            wanted = ".".join(texts[-2:])
            if opcode.name.endswith("GLOBAL") and _FOREIGN.fullmatch(wanted):
                yield wanted


def _unwrapped(content: Any) -> Any:
    """The state dict inside whatever surrounds it."""
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            break
        inside = {name: value for name, value in content.items() if isinstance(value, Mapping) and _has_tensors(value)}
        chosen = [name for name in WRAPPERS if name in inside]
        if not chosen and len(inside) == 1 and not any(isinstance(value, Tensor) for value in content.values()):
            chosen = list(inside)
        if not chosen:
            break
        content = inside[chosen[0]]
    return content


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: got a {type(content).__name__}, wanted a state dict: names to tensors")
    for name, value in content.items():
        if not isinstance(value, Tensor) and _has_tensors(value):
            raise WeightsError(f"{path}: tensors inside {name!r}, too; wanted one state dict: save that one alone")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise WeightsError(f"{path}: holds no tensors; wanted a state dict: names to tensors")
    return {name: _plain(value, f"{path}: {name!r}") for name, value in state.items()}


def _has_tensors(value: object) -> bool:
    """Whether there is a tensor in ``value`` at any depth; containers may contain themselves."""
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        if isinstance(item, Tensor):
            return True
        if id(item) not in seen:
            seen.add(id(item))
            if isinstance(item, Mapping):
                todo += item.values()
            elif isinstance(item, list | tuple | set | frozenset):
                todo += item
    return False


def _plain(tensor: Tensor, what: str) -> Tensor:
    tensor = tensor.detach()
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise WeightsError(f"{what} is sparse, quantized or without values; wanted a dense tensor")
    if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{what} has {tensor.numel()} values, of which the file holds fewer; not loaded")
    if not tensor.is_floating_point():
        return tensor
    if tensor.isnan().any():
        raise WeightsError(f"{what} holds values that are not numbers; use another file")
    return tensor.float()


def _stripped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes of wrappers; numbers alone are left only where a wrapper that is known wrote the prefix."""
    while True:
        for prefix in PREFIXES:
            rest = [name.removeprefix(prefix) for name in state if name.startswith(prefix)]
            certain = prefix in CERTAIN or not any(name[:1].isdigit() for name in rest)
            if len(rest) == len(state) and certain:
                state = dict(zip(rest, state.values(), strict=True))
                break
        else:
            return state


def _line(error: Exception) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return shorten(f"{type(error).__name__}: {text}", 160, placeholder=" ...").rstrip(": ")
