"""Looking after a registry: is it sound, how did it come about, and what can be thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from unirestorer.core.errors import RegistryError
from unirestorer.core.ties import BASE, base_problem, digests, expert_names, experts_before

from .guard import registry_errors
from .local import BRANCH, LocalRegistry, open_repository
from .locking import write_lock
from .opening import open_registry
from .schema import KINDS

if TYPE_CHECKING:
    from unirestorer.core.contracts import Store

_REFERENCES = (("extractor", "extractors"), ("hierarchy", "hierarchies"), ("routers", "routers"))
_CLOCK_SLACK = timedelta(seconds=5)


@dataclass(frozen=True)
class Commit:
    """One entry of a registry's history; ``time`` is UTC."""

    id: str
    time: datetime
    author: str
    message: str


@dataclass(frozen=True)
class Vacuumed:
    """What ``vacuum`` removed: history entries, and bytes of data and bookkeeping."""

    commits: int
    bytes: int


def verify(store: Store) -> list[str]:
    """Read everything; one line per record that is damaged, per part that a model lacks, per expert that is not as it
    was before the model was extended, and per adapter without the expert that it rests on. Empty: all is well.
    """
    problems: list[str] = []
    for kind in KINDS:
        for name in _names(store, kind, problems):
            try:
                store.read(kind, name)
                problems += [problem for check in _CHECKS.get(kind, ()) for problem in check(store, name)]
            except RegistryError as error:
                problems.append(str(error))
    return problems


def kept_experts(store: Store) -> int:
    """How many experts are older than an extension of a model, and so are proven by ``verify`` to be as they were."""
    recorded = [experts_before(store.attributes("models", name)) for name in store.names("models")]
    return sum(store.exists("experts", name) for name in {name for table in recorded for name in table})


def history(store: Store) -> list[Commit]:
    """Commits, newest first, without icechunk's own first one; a zip has none. Raises ``RegistryError``."""
    if not isinstance(store, LocalRegistry):
        return []
    # opened anew, because a repository keeps snapshots in memory and vacuum rewrites the newest one in place
    with registry_errors(str(store.path)):
        return [
            Commit(entry.id, entry.written_at, str(entry.metadata.get("author", "unknown")), entry.message)
            for entry in open_repository(store.path).ancestry(branch=BRANCH)
            if entry.parent_id is not None
        ]


def vacuum(path: Path, *, keep: timedelta = timedelta(0)) -> Vacuumed:
    """Forget commits older than ``keep`` and delete what only they used; the newest state always stays.

    Holds the write lock. A program that is reading an older state at that moment may get a ``RegistryError`` and should
    read again. Raises ``RegistryError``.
    """
    store = open_registry(path)
    if not isinstance(store, LocalRegistry):
        store.close()
        raise RegistryError(f"{path}: a zip registry has no history to remove; give a registry directory")
    with write_lock(path), registry_errors(str(path), "written"):
        limit = datetime.now(UTC) - keep + _CLOCK_SLACK
        expired = store.repository.expire_snapshots(older_than=limit)
        expired.discard(store.repository.lookup_branch(BRANCH))  # icechunk names it, yet keeps it
        garbage = store.repository.garbage_collect(limit)
    return Vacuumed(len(expired), garbage.bytes_deleted)


def _names(store: Store, kind: str, problems: list[str]) -> Iterator[str]:
    try:
        yield from store.names(kind)
    except RegistryError as error:
        problems.append(str(error))


def _missing_parts(store: Store, model: str) -> Iterator[str]:
    parts = store.attributes("models", model)
    stamps = parts.get("expert_stamps", [])
    for name, stamp in zip(expert_names(parts, len(stamps)), stamps, strict=False):
        if not store.exists("experts", name):
            yield f"models/{model}: its expert experts/{name} is missing; write it or correct the model"
        elif store.attributes("experts", name).get("stamp") != stamp:
            yield f"models/{model}: experts/{name} was replaced since the model was made; restore it from a copy"
    for attribute, kind in _REFERENCES:
        if not store.exists(kind, parts[attribute]):
            yield f"models/{model}: its {attribute} {kind}/{parts[attribute]} is missing; write it or correct the model"


def _changed_experts(store: Store, model: str) -> Iterator[str]:
    """The sha256 of each expert against the one that was noted when the model was extended."""
    for name, wanted in experts_before(store.attributes("models", model)).items():
        if store.exists("experts", name):
            attributes = store.attributes("experts", name)
            if wanted not in digests(attributes):
                changed = f"sha256 is {attributes['sha256']}, was {wanted} before models/{model} was extended"
                yield f"experts/{name}: {changed}; restore the registry from a copy"


def _wrong_base(store: Store, name: str) -> Iterator[str]:
    """What is wrong with the expert that an adapter rests on."""
    attributes = store.attributes("experts", name)
    if BASE in attributes:
        base = attributes[BASE]
        if not store.exists("experts", base):
            yield f"experts/{name}: its base experts/{base} is missing; write it, or restore the registry from a copy"
        elif problem := base_problem(attributes, store.attributes("experts", base)):
            yield f"experts/{name}: its base experts/{base} {problem}; restore the registry from a copy"


_CHECKS: Mapping[str, tuple[Callable[[Store, str], Iterator[str]], ...]] = {
    "models": (_missing_parts, _changed_experts),
    "experts": (_wrong_base,),
}
"""By kind, what is checked of a record beside the record itself."""
