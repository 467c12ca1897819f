"""An entry for weights that only a `config.json` describes: safetensors for transformers or MLX."""

from __future__ import annotations

from dataclasses import replace

from .catalog import Catalog
from .entry import Artifact, License, ModelEntry
from .from_config import Config
from .from_header import CAUTIOUS, same_sizes
from .tensors import active_parameters, parameters


def entry_from_config(config: Config, name: str, artifact: Artifact, catalog: Catalog) -> ModelEntry:
    """The model a configuration describes; the catalogue's entry where name and sizes agree."""
    architecture = config.architecture()
    for candidate in (name, config.name):
        known = catalog.find(candidate) if candidate else None
        if known and architecture and known.architecture and same_sizes(known.architecture, architecture):
            return replace(known, artifacts=(artifact,))
    return ModelEntry(
        id=name.lower(),
        name=name,
        repo=artifact.repo,
        architecture=architecture,
        parameters=parameters(architecture) if architecture else None,
        active_parameters=active_parameters(architecture) if architecture else None,
        prompt_format="own",
        license=License("unknown", "unknown", "", "A configuration names no licence; see where it came from.", False),
        sampling=CAUTIOUS,
        artifacts=(artifact,),
        notes=("Described by its own config.json; edgelfm has no card for it.",),
    )
