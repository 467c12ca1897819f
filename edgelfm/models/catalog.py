"""The catalogue of models: reads `catalog/*.yaml` once and answers by id.

It knows the family as published, not what is on this disk and not what fits; `names.resolve` takes what people type.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CatalogError
from .architecture import Architecture
from .entry import License, ModelEntry, Sampling

if TYPE_CHECKING:
    from .cards import ModelCard

FOLDER = Path(__file__).parent / "catalog"
_SHARED = ("architectures.yaml", "sampling.yaml", "licenses.yaml")


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """Every model of the catalogue, and what they share. Iterates over entries, the most wanted first."""

    entries: tuple[ModelEntry, ...]
    architectures: dict[str, Architecture]
    sampling: dict[str, Sampling]
    licenses: dict[str, License]

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, name: str) -> ModelEntry | None:
        """The entry with this id, name, repository or alias; case, spaces, hyphens and underscores do not matter."""
        return _index(self).get(fold(name))

    def suggestions(self, name: str, count: int = 3) -> tuple[str, ...]:
        """Ids of the models whose name is nearest to `name`, best first; none if nothing is near."""
        index = _index(self)
        near = difflib.get_close_matches(fold(name).rpartition("/")[2], index, n=4 * count, cutoff=0.6)
        return tuple(dict.fromkeys(index[key].id for key in near))[:count]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import catalog_bundle

        return catalog_bundle(self)


def fold(name: str) -> str:
    """`LFM2.5 1.2B_Instruct` and `lfm2.5-1.2b-instruct` as the same `lfm2.51.2binstruct`."""
    return re.sub(r"[^\w./]|_", "", name.casefold())


def spellings(entry: ModelEntry) -> set[str]:
    """Every folded name that means this entry: id, name, aliases, and its repositories with and without the owner."""
    names = {entry.id, entry.name, entry.repo, *entry.aliases}
    names |= {artifact.repo for artifact in entry.artifacts if artifact.repo.count("/") == 1}
    names |= {name.rpartition("/")[2] for name in names}
    return {fold(name) for name in names}


@lru_cache(maxsize=8)
def load(folder: Path = FOLDER) -> Catalog:
    """Read the catalogue; the second call costs nothing. Raises `CatalogError` naming file, line and key."""
    from ..yamlfile import read_yaml, yaml_files
    from .cards import ArchitectureFile, LicenseFile, ModelFile, SamplingFile

    architectures = read_yaml(folder / "architectures.yaml", ArchitectureFile, CatalogError).architectures
    presets = read_yaml(folder / "sampling.yaml", SamplingFile, CatalogError).sampling
    terms = read_yaml(folder / "licenses.yaml", LicenseFile, CatalogError).licenses
    sampling = {
        key: Sampling(card.temperature, card.top_k, card.top_p, card.min_p, card.repetition_penalty, card.source)
        for key, card in presets.items()
    }
    licenses = {
        key: License(key, card.name, card.url, " ".join(card.summary.split()), card.must_show)
        for key, card in terms.items()
    }
    networks = {key: card.build(None) for key, card in architectures.items()}
    entries: dict[str, ModelEntry] = {}
    for path in yaml_files(folder):
        if path.name in _SHARED:
            continue
        for card in read_yaml(path, ModelFile, CatalogError).models:
            for key, value, table in (
                ("architecture", card.architecture, architectures),
                ("sampling", card.sampling, sampling),
                ("license", card.license, licenses),
            ):
                if value is not None and value not in table:
                    raise _dangling(path, card.id, key, value, table)
            if card.id in entries:
                raise CatalogError(f"{path}: model {card.id!r} is described twice", hint="remove one of the two")
            network = architectures[card.architecture].build(card.context_supported) if card.architecture else None
            entries[card.id] = _entry(card, network, sampling[card.sampling], licenses[card.license])
    for entry in entries.values():
        if entry.replacement and entry.replacement not in entries:
            raise _dangling(folder, entry.id, "replacement", entry.replacement, entries)
    ordered = sorted(entries.values(), key=lambda entry: (-entry.preference, entry.id))
    catalog = Catalog(tuple(ordered), networks, sampling, licenses)
    _index(catalog)  # refuses two models of one name
    return catalog


def _entry(card: ModelCard, network: Architecture | None, sampling: Sampling, license: License) -> ModelEntry:
    from .tensors import active_parameters, parameters

    total = card.parameters or (parameters(network) if network else None)
    spared = parameters(network) - active_parameters(network) if network else 0
    notes = [f"Deprecated by Liquid AI; its replacement is {card.replacement}."] if card.replacement else []
    return ModelEntry(
        id=card.id,
        name=card.name,
        repo=card.repo or f"LiquidAI/{card.name}",
        architecture=network,
        parameters=total,
        active_parameters=total - spared if total else None,
        prompt_format=card.prompt_format,
        license=license,
        sampling=sampling,
        artifacts=card.build_artifacts(),
        modalities=tuple(card.modalities),
        tasks=tuple(card.tasks),
        thinking=card.thinking,
        languages=tuple(card.languages),
        released=card.released,
        status=card.status,
        replacement=card.replacement,
        preference=card.preference,
        notes=(*notes, *card.notes),
        aliases=tuple(card.aliases),
    )


@lru_cache(maxsize=8)
def _index(catalog: Catalog) -> dict[str, ModelEntry]:
    index: dict[str, ModelEntry] = {}
    for entry in catalog:
        for name in spellings(entry):
            other = index.setdefault(name, entry)
            if other is not entry:
                raise CatalogError(
                    f"{name!r} names both {other.id} and {entry.id}", hint=f"remove the alias {name!r} from one of them"
                )
    return index


def _dangling(path: Path, model: str, key: str, value: str, table: object) -> CatalogError:
    from ..yamlfile import did_you_mean

    known = list(table) if isinstance(table, dict) else []
    return CatalogError(
        f"{path}: {key} {value!r} of model {model!r} is not described anywhere{did_you_mean(value, known)}",
        hint=f"use one of: {', '.join(known)}",
    )
