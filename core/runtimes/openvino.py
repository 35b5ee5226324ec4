"""``openvino``: networks translated once for OpenVINO's CPU plugin, which runs near the peak of the processor.

A network is traced at one size, translated with free height and width, compared with PyTorch at others, compiled and
kept on disk. What runs is always what was kept, so a first run and a later one give equal bits.
"""

from __future__ import annotations

import threading
import weakref
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..budget import keeps, trim
from ..contracts import SizeRequirement
from ..recipe import fingerprint
from .cache import Cache, default_folder
from .errors import UnsupportedError
from .parity import TOLERANCE, check, samples
from .translating import translated

if TYPE_CHECKING:
    from torch import nn

_FORMAT = 1  # of what is kept on disk; another number makes everything anew


class OpenVino:
    """Runs networks by OpenVINO on the CPU, in ``precision`` "f32", or "bf16", which rounds to 8 bits on the way."""

    def __init__(self, precision: str = "f32", cache: Cache | None = None) -> None:
        """``cache``: where compiled networks are kept; by default that of the platform. Needs the package openvino."""
        self.name = "openvino" if precision == "f32" else f"openvino-{precision}"
        self._cache = cache or Cache(default_folder())
        self._hints = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # or several processes would sit on one core
        }
        self._tolerance = TOLERANCE if precision == "f32" else 0.25

    def prepare(self, module: nn.Module, key: str, size: SizeRequirement) -> Compiled:
        """``module`` compiled, from the cache where it is there; raises ``UnsupportedError`` where it cannot be."""
        name = self._named(key)
        found = self._load(name)
        if found is None:
            with self._cache.alone():
                found = self._load(name) or self._made(module, name, size)
        return found

    def _named(self, key: str) -> str:
        import openvino

        device = [_core().get_property("CPU", what) for what in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
        return fingerprint(_FORMAT, key, openvino.__version__, torch.__version__, self.name, device)

    def _load(self, name: str) -> Compiled | None:
        blob = self._cache.read(name)
        if blob is None:
            return None
        try:
            return Compiled(_core().import_model(blob, "CPU", self._hints), len(blob))
        except Exception:  # noqa: BLE001 - whole, but nothing that this version of OpenVINO takes
            self._cache.remove(name)
            return None

    def _made(self, module: nn.Module, name: str, size: SizeRequirement) -> Compiled:
        images = samples(size)
        with torch.inference_mode(False), torch.no_grad():
            try:
                compiled = _core().compile_model(translated(module, images[0]), "CPU", self._hints)
                blob = compiled.export_model().getvalue()
                made = Compiled(_core().import_model(blob, "CPU", self._hints), len(blob))
            except Exception as error:  # whatever tracing, translating or compiling raises
                raise UnsupportedError(error) from error
            check(made, module, images, self._tolerance)
        self._cache.write(name, blob)
        return made


class Compiled:
    """A compiled network of ``bytes`` bytes; several threads may call it at once.

    It keeps the memory of its last call, up to 300 bytes a pixel, until another network is called.
    """

    _turn = threading.Lock()
    _last: weakref.ref[Compiled] | None = None

    def __init__(self, model: Any, size: int) -> None:
        self._model, self.bytes = model, size
        self._idle: list[Any] = []  # requests that no thread uses: each serves one at a time
        self._busy = 0

    def __call__(self, image: Tensor) -> Tensor:
        """As ``Network``."""
        self._begin()
        try:
            return self._run(image)
        finally:
            with self._turn:
                self._busy -= 1

    def _begin(self) -> None:
        """Count a call; the network that was called before gives its memory back, unless it is at work."""
        with self._turn:
            last = Compiled._last() if Compiled._last else None
            self._busy += 1
            if last is not self:
                Compiled._last = weakref.ref(self)
                if last is not None:
                    last._rest()

    def _rest(self) -> None:
        """Give memory back, unless at work."""
        if not self._busy:
            self._idle.clear()
            self._model.release_memory()
            trim()

    @classmethod
    def give_back(cls) -> None:
        """Have the network that was called last give its memory back, unless it is at work."""
        with cls._turn:
            last = cls._last() if cls._last else None
            if last is not None:
                last._rest()

    def _run(self, image: Tensor) -> Tensor:
        from openvino import Tensor as Shared

        image = image.detach().contiguous()
        out = torch.empty_like(image)
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        # Both tensors are set at every call: the request must never write to those of the call before.
        request.set_input_tensor(Shared(image.numpy(), shared_memory=True))
        request.set_output_tensor(Shared(out.numpy(), shared_memory=True))
        request.infer()
        self._idle.append(request)
        return out


keeps(Compiled.give_back)


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino

    return openvino.Core()
