"""One batch for several processes, on one machine or many: each file belongs to one of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from zlib import crc32

from ..errors import ConfigError

_FOR_EVER = timedelta(days=365)
_TOLD = (("RANK", "WORLD_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"))


@dataclass(frozen=True)
class Share:
    """That of process ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1

    def has(self, place: Path) -> bool:
        """Whether the file at ``place`` below the input belongs to this process.

        Decided by the name alone, so that processes agree even where they do not see the same files.
        """
        return self.count == 1 or crc32(os.fsencode(place.as_posix())) % self.count == self.rank

    def named(self, path: Path) -> Path:
        """``path`` for this process alone, as ``report-0-of-2.json``."""
        return path if self.count == 1 else path.with_stem(f"{path.stem}-{self.rank}-of-{self.count}")


def share_of(environment: Mapping[str, str]) -> Share:
    """The share that ``accelerate launch``, ``torchrun`` and ``mpirun`` tell in the environment; else everything.

    Raises ``ConfigError`` for values that make no sense.
    """
    told = [(environment[name], environment.get(size, "1")) for name, size in _TOLD if name in environment]
    rank, count = told[0] if told else ("0", "1")
    if not (rank.isdecimal() and count.isdecimal() and int(rank) < int(count)):
        raise ConfigError(f"RANK is '{rank}' of WORLD_SIZE '{count}', wanted numbers, RANK the smaller one; unset both")
    return Share(int(rank), int(count))


def total(share: Share, counts: Mapping[str, int]) -> dict[str, int]:
    """The sum of the ``counts`` of all processes, when the last one is there.

    The launchers end every process as soon as one ends with an error: so they have to wait for each other.
    """
    if share.count == 1:
        return dict(counts)
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", rank=share.rank, world_size=share.count, timeout=_FOR_EVER))
    store.set(f"counts/{share.rank}", json.dumps(dict(counts)))
    others = [json.loads(store.get(f"counts/{rank}")) for rank in range(share.count)]
    store.set(f"read/{share.rank}", "")
    if share.rank == 0:  # this process may be the one that keeps the store
        store.wait([f"read/{rank}" for rank in range(share.count)], _FOR_EVER)
    return {name: sum(other[name] for other in others) for name in counts}
