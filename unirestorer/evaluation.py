"""``evaluate``: a model and its peers on a suite of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import unirestorer
from unirestorer import api
from unirestorer.core.canvas import in_eight_bits
from unirestorer.core.contracts import Preset
from unirestorer.core.errors import ConfigError, UniRestorerError, UnknownNameError
from unirestorer.core.evaluating.conventions import CONVENTIONS, Convention
from unirestorer.core.evaluating.metrics import Metrics, psnr
from unirestorer.core.evaluating.opening import open_suite
from unirestorer.core.evaluating.peers import (
    Bench,
    FunctionPeer,
    Peer,
    Pixels,
    built_in,
    model_peer,
    weights_peer,
)
from unirestorer.core.evaluating.report import Report
from unirestorer.core.evaluating.running import ROWS, Journal
from unirestorer.core.evaluating.running import evaluate as run
from unirestorer.core.evaluating.suite import Suite, load_suite
from unirestorer.core.evaluating.writing import write_report
from unirestorer.core.files import digest
from unirestorer.core.recipe import fingerprint
from unirestorer.core.run import Watcher
from unirestorer.core.ties import DEFAULT, expert_names
from unirestorer.degradations.chain import parse_chain
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry
from unirestorer.registry.locking import write_lock

EMBEDDED = "embedded"
"""What the model inside the package is called."""
BUILT_IN = ("input", "auto", "root", "leaf-only", "instruction", "oracle")
"""Peers without a file, in the order of the tables; the oracle last, so that others' outputs are there already."""
ALWAYS = BUILT_IN[:2]
PACKAGES = ("torch", "torchmetrics", "numpy", "pillow")
"""Whose versions are noted beside our own."""

Model = str | os.PathLike[str] | None
Function = Callable[[Pixels], Pixels]
"""(H, W, 3) uint8 RGB -> (H, W, 3) uint8 RGB."""
Peers = Sequence[str] | Mapping[str, str | Function]
"""As ``--peer`` takes them; or by name a function, or what follows ``--peer NAME=``, of a built-in one its name."""


def suites() -> dict[str, Path]:
    """The suites that come with the package, by name."""
    folder = Path(str(files("unirestorer.recipes"))) / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_suite(name: str) -> Suite:
    """The suite of that name, or in the file of that name; raises ``UnknownNameError``, ``ConfigError``."""
    known = suites()
    if name not in known and Path(name).suffix.lower() not in (".yaml", ".yml"):
        raise UnknownNameError("suite", name, [*known, "FILE.yaml"])

    def check(chain: str, preset: Preset) -> None:
        parse_chain(chain, load_catalogue().synthesizers, preset)

    return load_suite(known.get(name, Path(name)), check)


def evaluate(
    model: Model = None,
    suite: str | Suite = "synthetic",
    *,
    data: str | os.PathLike[str],
    peers: Peers = (),
    parts: Sequence[str] = (),
    limit: int | None = None,
    seed: int | None = None,
    conventions: Sequence[str] = (),
    lpips: str | os.PathLike[str] | None = None,
    iqa: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    watch: Watcher = lambda task, done, total, note: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """``model`` (None or "embedded": the one inside) and its ``peers`` on the images of ``suite`` below ``data``.

    The input and the model's auto mode are always there. ``parts``, ``limit``: only these, and at most so many images
    of each. ``seed``, ``conventions``: instead of those of the suite. ``lpips``: weights of its backbone; ``iqa``:
    metrics of pyiqa. ``out``: a folder for tables, charts and a contact sheet; what was measured is kept there, so that
    a run that was interrupted goes on. ``tell`` hears of every image that fails; the others go on.

    Raises ``UniRestorerError`` where model, suite, peers or data cannot be had, or ``out`` is of another evaluation.
    """
    plan = _planned(read_suite(suite) if isinstance(suite, str) else suite, seed, conventions)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}, wanted at least 1; leave it out to measure every image")
    folder = None if out is None else _results(Path(out), plan, Path(data))
    used = tuple(CONVENTIONS[name] for name in plan.conventions)
    metrics = Metrics(used, None if lpips is None else Path(lpips), iqa)
    opened = open_suite(plan, Path(data), degrade_pixels, parts=parts, limit=limit)
    everyone = make_peers(model, peers, used[0])
    facts = {
        "versions": {"unirestorer": unirestorer.__version__, **{name: version(name) for name in PACKAGES}},
        "suite": {"name": plan.name, "sha256": fingerprint(plan), "seed": plan.seed},
        "chosen": {"parts": list(parts), "limit": limit},
        "metrics": metrics.facts(),
        "peers": {peer.name: dict(peer.facts) for peer in everyone},
    }
    noted = {**facts, "notes": list(opened.notes)} if opened.notes else facts
    measure = partial(
        run, plan, opened.entries, everyone, metrics, watch, missing=opened.missing, facts=noted, tell=tell
    )
    if folder is None:
        return measure()
    folder.mkdir(parents=True, exist_ok=True)
    with write_lock(folder, timeout=0, name="evaluate.lock"):
        report = measure(journal=Journal.open(folder / ROWS, {**facts, "data": str(Path(data).resolve())}))
        write_report(report, folder, opened.entries, everyone)
    return report


def _planned(suite: Suite, seed: int | None, conventions: Sequence[str]) -> Suite:
    """``suite`` with the seed and conventions that were asked for."""
    for name in conventions:
        if name not in CONVENTIONS:
            raise UnknownNameError("convention", name, CONVENTIONS)
    if seed is not None and not 0 <= seed < 2**31:
        raise ConfigError(f"seed is {seed}, wanted 0 <= seed < 2^31")
    asked = {"seed": seed, "conventions": tuple(dict.fromkeys(conventions)) or None}
    return suite.model_copy(update={name: value for name, value in asked.items() if value is not None})


def _results(folder: Path, suite: Suite, data: Path) -> Path:
    """``folder``, whose pictures would be measured as photos by the next run if it lay among those of ``suite``."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file, wanted a folder for the results; choose another name")
    for part in suite.parts:
        if part.photos is not None and folder.resolve().is_relative_to((data / part.photos).resolve()):
            raise ConfigError(
                f"{folder}: lies among the photos of part '{part.name}', which its charts would join; "
                "choose another place"
            )
    return folder


def degrade_pixels(pixels: Pixels, chain: str, preset: Preset, seed: int) -> Pixels:
    """Damage (H, W, 3) uint8 as a part of a suite says."""
    return in_eight_bits(api.degrade(pixels, chain, seed, preset).pixels)


def make_peers(model: Model, peers: Peers, ranking: Convention) -> list[Peer]:
    """The peers of ``model`` that are always there, and those that ``peers`` names; ``ranking`` tells the best expert.

    Raises ``UnknownNameError`` and ``ConfigError`` for names, and what loading models and files raises.
    """
    asked = dict(_asked(peers))
    bench, facts = _bench(model)

    def rank(restored: Pixels, truth: Pixels, task: str | None) -> float:
        return psnr(restored, truth, ranking, task)

    made: list[Peer] = []
    for name in BUILT_IN:
        if name in ALWAYS or name in asked:
            made.append(built_in(name, bench, facts, rank))
    return made + [_other(name, what) for name, what in asked.items() if name not in BUILT_IN]


def _asked(peers: Peers) -> Iterator[tuple[str, str | Function]]:
    """Name and what it is of each peer, a built-in one being what its name is."""
    pairs: list[tuple[str, str | Function]] = []
    if isinstance(peers, Mapping):
        pairs += peers.items()
    else:
        split = [text.partition("=") for text in ([peers] if isinstance(peers, str) else peers)]
        pairs += [(name, what if equals else name) for name, equals, what in split]
    seen: set[str] = set()
    for name, what in pairs:
        if what == name and name not in BUILT_IN:
            raise UnknownNameError("peer", name, [*BUILT_IN, "NAME=REGISTRY", "NAME=ARCH:WEIGHTS"])
        if (what != name and name in BUILT_IN) or not name or "|" in name:
            raise ConfigError(f"peer '{name}={what}': the name is taken, empty or unfit for a table; choose another")
        if name in seen:
            raise ConfigError(f"peer '{name}': is given twice; give each its own name")
        seen.add(name)
        yield name, what


def _other(name: str, what: str | Function) -> Peer:
    """A function, another registry, or ARCH:WEIGHTS[:licence]."""
    if not isinstance(what, str):
        if not callable(what):
            raise ConfigError(f"peer {name}: got {what!r}, wanted a function, REGISTRY or ARCH:WEIGHTS")
        return FunctionPeer(name, what)
    arch, colon, rest = what.partition(":")
    experts = load_catalogue().experts
    if not colon or arch not in experts or Path(what).exists():
        try:
            return model_peer(name, *_bench(what))
        except UniRestorerError as error:
            raise ConfigError(
                f"peer {name}: {error}; wanted REGISTRY, or ARCH:WEIGHTS of {', '.join(experts)}"
            ) from None
    file, _, licence = (rest, "", "") if Path(rest).exists() else rest.partition(":")
    return weights_peer(name, experts[arch], Path(file), licence)


def _bench(model: Model) -> tuple[Bench, dict[str, Any]]:
    """A model ready to be measured, and what it is: its file, and stamps of its parts."""
    path = None if model is None or str(model) == EMBEDDED else Path(model)
    restorer, where = api.load(path, runtime="eager").restorer, api.embedded_model() if path is None else path
    store = open_registry(where)
    ties = store.attributes("models", DEFAULT)
    bench = Bench(restorer)
    experts = expert_names(ties, len(bench.mixture.hierarchy))
    parts = {
        "extractor": ties.get("extractor_fingerprint"),
        "hierarchy": ties.get("hierarchy_stamp"),
        "routers": store.attributes("routers", ties["routers"])["sha256"],
        "experts": fingerprint([store.attributes("experts", name)["sha256"] for name in experts]),
    }
    facts: dict[str, Any] = {
        "model": EMBEDDED if path is None else where.name,
        "levels": list(bench.mixture.level_names),
        "nodes": len(experts),
        "parts": parts,
    }
    return bench, facts | ({"sha256": digest(where)} if where.is_file() else {})
