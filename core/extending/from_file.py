"""An expert made of a file of weights: which architecture it is, as said or as its parameters tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..catalogue import validate_config
from ..checkpoints import read_state
from ..contracts import Config, ExpertSpec, Record
from ..errors import UniRestorerError, WeightsError
from ..models import build_expert, load_base, new_network
from ..recipe import fingerprint
from ..ties import BASE, BASE_SHA256
from ..weights import pack_state, sha256
from .bench import Bench
from .newcomers import expert_record, kind_of, refuse_costs_patch, root_base


@dataclass(frozen=True)
class FromFile:
    """The expert as a registry keeps it, its network, and a line about it for the user."""

    record: Record
    network: nn.Module
    about: str


@dataclass(frozen=True)
class _Kind:
    """An architecture, its settings, and what an adapter rests on."""

    spec: ExpertSpec[Any]
    settings: Config
    base: Mapping[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the record."""
        return kind_of(self.spec, self.settings, self.base)


def expert_of(bench: Bench, node: int, path: Path) -> FromFile:
    """The expert in the file ``path``, for ``node``.

    Its architecture is the one of the options, else that of the node's expert where names and shapes fit, else the
    first in the catalogue that recognises the file; those made of nothing but a file come last. Raises
    ``WeightsError`` and ``RegistryError`` where the file cannot be read, or none fits.
    """
    trained, state = bench.trained, read_state(path)
    now = trained.store.attributes("experts", trained.experts[node])
    kind = _chosen(bench, now, state, path) or _own(bench, now, state) or _recognised(bench, now, state, path)
    weights = pack_state(state)
    stamp = fingerprint(bench.stamp, node, kind.attributes, sha256(weights))
    facts = {"steps": 0, "parent": None, "metrics": {"file": path.name}, "stamp": stamp}
    record = expert_record(trained, kind.attributes, weights, facts)
    network, built = build_expert(trained.store, trained.catalogue, record, str(path))
    refuse_costs_patch(trained, built)
    return FromFile(record, network, _about(path, kind, state, network))


def _chosen(bench: Bench, now: Mapping[str, Any], state: Mapping[str, Tensor], path: Path) -> _Kind | None:
    """The architecture that the options name, if they name one."""
    choice, trained = bench.options.experts, bench.trained
    if choice is None:
        return None
    spec = trained.catalogue.expert(choice.name)
    settings = None if choice.config else _recognise(spec, state, path)
    if settings is None:
        same = not choice.config and now["arch"] == spec.name
        settings = validate_config(spec.config, now["config"] if same else choice.config, "experts.config")
    return _Kind(spec, settings, root_base(trained, spec))


def _own(bench: Bench, now: Mapping[str, Any], state: Mapping[str, Tensor]) -> _Kind | None:
    """The architecture of the node's expert, if names and shapes are its."""
    trained = bench.trained
    spec = trained.catalogue.experts.get(now["arch"])
    if spec is None or spec.revive is not None:
        return None
    settings = validate_config(spec.config, now["config"], "experts.config")
    base = {key: now[key] for key in (BASE, BASE_SHA256) if key in now}
    network = new_network(
        spec, settings, lambda: load_base(trained.store, trained.catalogue, base, f"expert of {now['arch']}")[0]
    )
    return _Kind(spec, settings, base) if _shapes(network.state_dict()) == _shapes(state) else None


def _recognised(bench: Bench, now: Mapping[str, Any], state: Mapping[str, Tensor], path: Path) -> _Kind:
    """The first architecture that recognises the file."""
    specs = sorted(bench.trained.catalogue.experts.values(), key=lambda spec: spec.revive is not None)
    able = [spec for spec in specs if spec.recognise is not None]
    reasons: list[str] = []
    for spec in able:
        try:
            settings = _recognise(spec, state, path)
        except WeightsError as error:
            reasons.append(str(error).removeprefix(f"{path}: "))
        else:
            if settings is not None:
                return _Kind(spec, settings, {})
    tried = ", ".join(dict.fromkeys([str(now["arch"]), *(spec.name for spec in able)]))
    why = "".join(f"; {reason}" for reason in reasons)
    raise WeightsError(f"{path}: is of no architecture that is here; tried {tried}{why}")


def _recognise(spec: ExpertSpec[Any], state: Mapping[str, Tensor], path: Path) -> Config | None:
    try:
        return None if spec.recognise is None else spec.recognise(state)
    except UniRestorerError as error:
        raise WeightsError(f"{path}: {error}") from None


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _about(path: Path, kind: _Kind, state: Mapping[str, Tensor], network: nn.Module) -> str:
    said = kind.settings.model_dump(mode="json", exclude_defaults=True)
    licence = said.pop("licence", "") or kind.spec.licence or "not stated"
    said.pop("parameters", None)
    parts = [
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in said.items()
    ]
    over = f" over experts/{kind.base[BASE]}" if kind.base else ""
    count = sum(tensor.numel() for tensor in (state.values() if kind.base else network.parameters()))
    details = ", ".join([*parts, f"{count:,} parameters", f"licence {licence}"])
    return f"{path.name}: {kind.spec.name}{over}: {details}"
