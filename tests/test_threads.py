"""One model serves many threads: the bits are those of one thread, whichever comes first to an expert."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unirestorer.api import embedded_model
from unirestorer.core.mixture import Mixture
from unirestorer.core.restoring import Restorer
from unirestorer.core.runtimes import runtime_of, states
from unirestorer.model import Model
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

PHOTOS = sorted((Path(__file__).parents[1] / "examples" / "photos").iterdir())
WORKING = [state.name for state in states() if not state.problem]
THREADS = 8


def crops() -> list[NDArray[np.uint8]]:
    """A part of every example photo: seven damages and a clean one."""
    found = []
    for path in PHOTOS:
        with Image.open(path) as photo:
            found.append(np.asarray(photo.convert("RGB"))[60:124, 200:296])
    return found


def fresh(runtime: str, cache_bytes: int) -> Model:
    store = open_registry(embedded_model())
    mixture = Mixture(store, load_catalogue(), cache_bytes=cache_bytes, runtime=runtime_of(runtime))
    return Model(Restorer(mixture))


@pytest.mark.parametrize(("runtime", "cache_bytes"), [("eager", 2**28), ("eager", 1), ("openvino", 2**28)])
def test_eight_threads_give_the_bits_of_one(runtime: str, cache_bytes: int) -> None:
    if runtime not in WORKING:
        pytest.skip(f"{runtime} does not work here")
    images, alone = crops(), fresh(runtime, 2**28)
    expected = [alone.restore(image) for image in images]
    assert len({result.route[0].experts for result in expected}) >= 6
    shared, start = fresh(runtime, cache_bytes), Barrier(THREADS)

    def work(thread: int) -> list[tuple[int, Any]]:
        start.wait()
        turns = [(thread + turn) % len(images) for turn in range(len(images))]
        return [(at, shared.restore(images[at])) for at in turns]

    with ThreadPoolExecutor(THREADS) as pool:
        done = [pair for made in pool.map(work, range(THREADS)) for pair in made]
    assert len(done) == THREADS * len(images)
    for at, result in done:
        assert result.estimate == expected[at].estimate
        assert np.array_equal(result.image, expected[at].image)
