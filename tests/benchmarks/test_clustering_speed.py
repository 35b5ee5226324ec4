"""What clustering many DRs takes: ``python -m pytest tests/benchmarks/test_clustering_speed.py --benchmark-only``.

Each case is a process of its own, so that its peak memory (``extra_info``) is its own: 2 GB of it are the million DRs
of width 512 in 19 Gaussian groups of 7 types. With ``UNIRESTORER_BENCHMARK_DRS=100000`` there are fewer.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DEGREES = (4, 3, 2, 2, 3, 3, 2)
"""Groups of each type, 19 in all, as in the paper."""
WIDTH = 512


def structured(count: int) -> tuple[np.ndarray, np.ndarray]:
    """DRs (count, WIDTH) float32 around the centres of their groups, and the group (count,) of each."""
    draw = np.random.default_rng(0)
    types = draw.standard_normal((len(DEGREES), WIDTH), dtype=np.float32)
    centres = np.repeat(types, DEGREES, axis=0) + 0.5 * draw.standard_normal((sum(DEGREES), WIDTH), dtype=np.float32)
    group = draw.integers(len(centres), size=count).astype(np.int32)
    dr = np.empty((count, WIDTH), dtype=np.float32)
    for start in range(0, count, 10000):
        rows = slice(start, start + 10000)
        draw.standard_normal(dtype=np.float32, out=dr[rows])
        dr[rows] *= 0.7
        dr[rows] += centres[group[rows]]
    return dr, group


def cluster(name: str, count: int) -> dict[str, Any]:
    """Seconds of ``fit`` with the default configuration, and what it found."""
    from sklearn.metrics import normalized_mutual_info_score

    from unirestorer.plugins.manager import load_catalogue

    spec = load_catalogue().clusterer(name)
    dr, group = structured(count)
    start = time.perf_counter()
    tree = spec.build(spec.config()).fit(dr).hierarchy_
    seconds = time.perf_counter() - start
    agreement = float(normalized_mutual_info_score(group, tree.assign[:, -1]))
    return {"seconds": seconds, "sizes": tree.sizes, "NMI": agreement}


def report(count: int) -> dict[str, Any]:
    """Seconds that figures, tables and map of such a tree take."""
    from unirestorer.core.clustering.map import draw_map
    from unirestorer.core.clustering.naming import named
    from unirestorer.core.clustering.quality import measure
    from unirestorer.core.clustering.tables import write_tables
    from unirestorer.core.contracts import Labels, Prompts
    from unirestorer.plugins.manager import load_catalogue

    spec = load_catalogue().clusterer("minibatch-kmeans")
    dr, group = structured(count)
    tree = spec.build(spec.config()).fit(dr).hierarchy_
    pairs = tuple((f"type{kind}", f"degree{n}") for kind, degrees in enumerate(DEGREES) for n in range(degrees))
    prompts = Prompts(tuple(dict.fromkeys(kind for kind, _ in pairs)), pairs)
    start = time.perf_counter()
    census = tree.census(group, len(pairs))
    labelled = named(tree, census, prompts)
    quality = measure(labelled, dr, Labels(group, prompts))
    with tempfile.TemporaryDirectory() as folder:
        write_tables(Path(folder), labelled, census, prompts, quality, ())
        draw_map(labelled, dr, Labels(group, prompts), quality.figures, Path(folder) / "map.png")
    return {"seconds": time.perf_counter() - start, "sizes": tree.sizes, "NMI": quality.figures["nmi_prompt"]}


def main(name: str, count: int) -> None:
    """Print the result of one case as JSON."""
    found = report(count) if name == "report" else cluster(name, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**found, "peak GiB": peak}))  # noqa: T201


@pytest.mark.timeout(900)
@pytest.mark.benchmark(group="clustering a million DRs of width 512 into 1/7/19")
@pytest.mark.parametrize("name", ["kmeans", "kmeans-topdown", "minibatch-kmeans", "report"])
def test_clustering(benchmark: Any, name: str) -> None:
    count = int(os.environ.get("UNIRESTORER_BENCHMARK_DRS", 1_000_000))
    code = f"from tests.benchmarks.test_clustering_speed import main; main({name!r}, {count})"
    command = [sys.executable, "-c", code]

    def run() -> dict[str, Any]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    found = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info.update(found)
    assert found["seconds"] < 300
    assert found["peak GiB"] < 8 * 1e9 / 2**30
    assert found["NMI"] > 0.9
