"""Extractors, experts, hierarchies and routers to and from registry records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from .catalogue import Catalogue, validate_config
from .contracts import Adapter, Config, ExpertSpec, Record, Store
from .errors import ConfigError, RegistryError
from .hierarchy import Hierarchy, LabelledTree, node_number
from .outside import without_paths
from .recipe import fingerprint
from .routing import RouterOptions, Routers
from .ties import BASE, BASE_SHA256, base_problem, expert_names, install_hint
from .weights import pack, sha256, state_of, unpack


def extractor_record(
    extractor: Any, name: str, config: dict[str, Any], stamp: str, files: Sequence[Path] = ()
) -> Record:
    """``extractor`` as a record; its fingerprint covers weights and preprocessing, not where weight ``files`` lay."""
    weights = pack(extractor)
    digest = sha256(weights)
    return Record(
        {"weights": weights},
        {
            "arch": name,
            "config": config,
            "sha256": digest,
            "fingerprint": fingerprint(name, without_paths(config, files), digest),
            "dim": extractor.dim,
            "stamp": stamp,
        },
    )


def belonging(store: Store, extractor: str, stamp: str, experts: Sequence[str]) -> dict[str, Any]:
    """What a model record says of its parts, so that a part that was replaced since is noticed."""
    return {
        "extractor_fingerprint": store.attributes("extractors", extractor)["fingerprint"],
        "hierarchy_stamp": stamp,
        "expert_stamps": [store.attributes("experts", name)["stamp"] for name in experts],
    }


def check_belonging(what: str, got: object, wanted: object) -> None:
    """Raises ``RegistryError`` when a part is not the one that the model was made with."""
    if got != wanted:
        raise RegistryError(f"{what}: replaced since this model was made; run the recipe again to finish the new one")


def license_experts(store: Store, model: str, licence: str, nodes: Sequence[str] = ()) -> list[str]:
    """State the ``licence`` of the weights of a model's experts, or of those of its ``nodes``; returns their records.

    Raises ``UnknownNameError`` for an unknown node and ``RegistryError``.
    """
    ties = store.attributes("models", model)
    labelled = load_hierarchy(store, ties["hierarchy"])
    records = expert_names(ties, len(labelled.tree))
    chosen = [node_number(labelled, node) for node in nodes] or range(len(records))
    names = [name for name in dict.fromkeys(records[node] for node in chosen) if _has_weights(store, name)]
    names += [base for name in names if (base := store.attributes("experts", name).get(BASE)) and base not in names]
    for name in names:
        record = store.read("experts", name)
        stated = Record(record.arrays, {**record.attributes, "licence": licence})
        store.write({("experts", name): stated}, message=f"expert {name}: licence {licence}", author="license")
    return names


def _has_weights(store: Store, name: str) -> bool:
    return store.attributes("experts", name)["sha256"] is not None


def load_extractor(store: Store, catalogue: Catalogue, name: str) -> Any:
    """The extractor ``name`` in evaluation mode."""
    record = store.read("extractors", name)
    spec = catalogue.extractor(record.attributes["arch"])
    extractor = spec.build(validate_config(spec.config, record.attributes["config"], f"extractor {name}"))
    unpack(extractor, record.arrays["weights"], f"extractor {name}")
    return extractor.eval()


def new_network(spec: ExpertSpec[Any], settings: Config, base: Callable[[], nn.Module] | None = None) -> nn.Module:
    """An untrained network of the architecture; an adapter over what ``base`` makes, which is its own.

    Raises ``ConfigError`` for an architecture that begins with neither.
    """
    refuse_untrainable(spec)
    if spec.build is not None:
        return spec.build(settings)
    if spec.over is None or base is None:
        raise ConfigError(f"{spec.name}: is an adapter over another expert, and none is given; name an architecture")
    return cast(nn.Module, spec.over(settings, base()))


def refuse_untrainable(spec: ExpertSpec[Any]) -> None:
    """Raises ``ConfigError`` for an architecture that only a file of weights describes."""
    if spec.revive is not None:
        raise ConfigError(
            f"{spec.name}: is made of a file of weights and not trained; give one (unirestorer extend expert NODE "
            "--weights FILE), or name another architecture"
        )


def load_expert(store: Store, catalogue: Catalogue, name: str) -> tuple[nn.Module, ExpertSpec[Any]]:
    """The expert ``name`` ("set/node"), as ``build_expert``."""
    return build_expert(store, catalogue, store.read("experts", name), name)


def build_expert(store: Store, catalogue: Catalogue, record: Record, name: str) -> tuple[nn.Module, ExpertSpec[Any]]:
    """The network of ``record`` in evaluation mode and channels-last memory, and its architecture.

    An adapter comes merged into its base, which ``store`` has; its spec with the ``size`` of that. Raises
    ``RegistryError``, naming the plugin to install, where the architecture is not there.
    """
    arch, plugin = record.attributes["arch"], record.attributes.get("plugin")
    if arch not in catalogue.experts and plugin:
        raise RegistryError(f"expert {name}: needs the architecture '{arch}' of {plugin}; {install_hint(plugin)}")
    spec, where = catalogue.expert(arch), f"expert {name}"
    settings = validate_config(spec.config, record.attributes["config"], where)
    if spec.revive is not None:
        network = spec.revive(settings, state_of(record.arrays["weights"], where))
    elif spec.over is not None:
        base, below = load_base(store, catalogue, record.attributes, where)
        adapter = new_network(spec, settings, lambda: base)
        unpack(adapter, record.arrays["weights"], where)
        network, spec = cast(Adapter, adapter).merged(), replace(spec, size=below.size)
    else:
        network = new_network(spec, settings)
        if "weights" in record.arrays:
            unpack(network, record.arrays["weights"], where)
    return network.eval().to(memory_format=torch.channels_last), spec  # type: ignore[call-overload]


def base_of(store: Store, name: str) -> dict[str, Any]:
    """What the record of an adapter over the expert ``name`` says of it; ``ConfigError`` where that carries none."""
    attributes = store.attributes("experts", name)
    if BASE in attributes or attributes["sha256"] is None:
        what = "is itself an adapter" if BASE in attributes else "has no weights"
        raise ConfigError(
            f"experts/{name}: {what} ({attributes['arch']}), an adapter cannot rest on it; give the root an expert of "
            "its own first (unirestorer extend expert NODE --arch NAME)"
        )
    return {BASE: name, BASE_SHA256: attributes["sha256"]}


def load_base(
    store: Store, catalogue: Catalogue, adapter: Mapping[str, Any], where: str
) -> tuple[nn.Module, ExpertSpec[Any]]:
    """The expert that the attributes of an ``adapter`` name; raises ``RegistryError`` where it is not the one."""
    name = str(adapter.get(BASE))
    if BASE not in adapter or not store.exists("experts", name):
        raise RegistryError(f"{where}: the expert experts/{name} that it rests on is missing; restore it from a copy")
    if problem := base_problem(adapter, store.attributes("experts", name)):
        raise RegistryError(f"{where}: the expert experts/{name} that it rests on {problem}; train the adapter again")
    return load_expert(store, catalogue, name)


def hierarchy_record(tree: Hierarchy, attributes: dict[str, Any], census: np.ndarray[Any, Any]) -> Record:
    """``tree`` as a record; ``attributes`` carry clusterer, config, dr_set, names and figures."""
    arrays = {
        "parent": tree.parent,
        "level": tree.level.astype(np.int32),
        "centroid": tree.centroid,
        "assign": tree.assign,
        "census": census,
    }
    return Record(arrays, {**attributes, "normalize": tree.normalize})


def load_hierarchy(store: Store, name: str) -> LabelledTree:
    """The hierarchy ``name`` with its names."""
    record = store.read("hierarchies", name)
    arrays, attributes = record.arrays, record.attributes
    depth = int(arrays["level"].max()) + 1
    tree = Hierarchy(
        parent=arrays["parent"],
        level=arrays["level"],
        centroid=arrays["centroid"],
        assign=arrays.get("assign", np.zeros((0, depth), dtype=np.int32)),
        normalize=bool(attributes["normalize"]),
    ).validate()
    names, types = tuple(attributes["node_names"]), tuple(attributes["node_types"])
    if not len(names) == len(types) == len(tree):
        raise RegistryError(f"hierarchy {name}: got {len(names)} node names, wanted {len(tree)}, one per node")
    return LabelledTree(tree, names, types, tuple(attributes["level_names"]))


def routers_record(routers: Routers, attributes: dict[str, Any]) -> Record:
    """``routers`` as a record; its ``config`` is that of ``attributes`` with what the network was built with."""
    weights = pack(routers)
    leaves, levels = routers.ancestors.shape
    shape = {"dim": len(routers.centre), "leaves": leaves, "levels": levels}
    options = asdict(routers.options)
    temperatures = options.pop("temperatures")
    attributes = {**attributes, "config": {**attributes["config"], **options}, "temperatures": temperatures}
    return Record({"weights": weights}, {**attributes, **shape, "sha256": sha256(weights)})


def load_routers(store: Store, name: str, tree: Hierarchy) -> Routers:
    """The routers ``name`` over ``tree``, in evaluation mode; raises ``RegistryError`` when they do not fit it."""
    record = store.read("routers", name)
    options = RouterOptions.recorded(record.attributes, f"routers {name}")
    routers = Routers(int(record.attributes["dim"]), torch.from_numpy(tree.ancestors.astype(np.int64)), options)
    unpack(routers, record.arrays["weights"], f"routers {name}")
    if not np.array_equal(routers.ancestors.numpy(), tree.ancestors):
        raise RegistryError(f"routers {name}: made for another tree; train the routers again")
    return routers.eval()
