"""From a folder of safetensors to a network in memory, with its tokenizer. No code in the folder is ever run.

transformers gives random values to what is missing in the weights and ignores what is too much. Here both are errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...decision import Decision
from ...errors import BackendError, EdgelfmError, ModelFileError
from ..base import Progress
from ..safetensors import read_json, require_whole
from ..vocabulary import Vocabulary
from . import calling
from .beside import Beside, attach
from .choice import DTYPES, choose_device, choose_dtype
from .library import Library, library, quiet
from .quantization import ON_THE_FLY, on_the_fly

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_UPGRADE = "pip install --upgrade transformers"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network, its tokenizer, and how it was loaded."""

    folder: Path
    library: Library
    model: Any  # transformers.PreTrainedModel in evaluation mode
    vocabulary: Vocabulary
    device: Decision[str]
    dtype: Decision[str]
    quantization: str = ""  # "int8" or "int4" if the weights were quantized on the way
    beside: Beside | None = None  # an adapter

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, those that two layers share once."""
        tensors = [part for one in (*self.model.parameters(), *self.model.buffers()) for part in _stored(one)]
        return int(sum({one.data_ptr(): one.nbytes for one in tensors}.values()))


def _stored(tensor: Any) -> list[Any]:
    """The tensors that hold it: of one that torchao made smaller, the small numbers and their scales."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in _stored(getattr(tensor, name))]


def load(
    folder: Path,
    progress: Progress | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    quantization: str = "",
    adapter: Path | None = None,
) -> Loaded:
    """Load `folder`, which holds a config.json, weights and a tokenizer.json.

    `device` and `dtype` as in a plan; None chooses. `quantization` "int8" and "int4" quantize on the way, any
    other name says how the weights are stored. `adapter` is the folder of a LoRA that runs beside them.

    Raises `BackendMissing`, `ModelFileError` for what is missing or broken, `BackendError` if torch gives up.
    """
    if not folder.is_dir():
        raise ModelFileError(f"{folder} is not a folder", hint="give the folder that holds config.json and the weights")
    lib = library()
    values = read_json(folder / "config.json")
    _require_safetensors(folder)
    require_whole(folder)
    vocabulary = Vocabulary(folder, values)
    with quiet(lib):
        config, network = _network(lib, folder, values)
    where = choose_device(lib.torch, device)
    what = choose_dtype(lib.torch, where.value, str(config.dtype or "float32").removeprefix("torch."), dtype)
    options: dict[str, Any] = {"dtype": getattr(lib.torch, DTYPES[what.value])}
    if where.value != "cpu":
        options["device_map"] = {"": where.value}
    quantization = quantization if quantization in ON_THE_FLY else ""
    if quantization:
        with quiet(lib):
            options["quantization_config"] = on_the_fly(quantization, where.value)
    model = _weights(lib, folder, config, network, options, progress)
    beside = attach(lib, model, adapter) if adapter is not None else None
    _rehearse(lib, model)
    if progress is not None and not progress(1.0):
        raise BackendError("loading was abandoned")
    return Loaded(folder, lib, model, vocabulary, where, what, quantization, beside)


def _require_safetensors(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise ModelFileError(
            f"{folder} is an adapter, not a model", hint="load the model it was made for, and give this as its adapter"
        )
    pickled = [path.name for path in sorted(folder.glob("*")) if path.suffix in _PICKLED]
    if pickled and not any(folder.glob("model*.safetensors")):
        raise ModelFileError(
            f"{folder} holds its weights as pickle ({pickled[0]}), which can run any program when it is opened",
            hint="take a repository that holds model.safetensors",
        )


def _network(lib: Library, folder: Path, values: Mapping[str, Any]) -> tuple[Any, Any]:
    """The configuration, and the class of the network that it describes."""
    family = values.get("model_type")
    try:
        config = lib.auto_config.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except ImportError as error:
        raise BackendError(f"transformers cannot describe {folder.name}: {error}", hint=_UPGRADE) from error
    except Exception as error:  # huggingface_hub checks types and values with errors of its own
        if "auto_map" in values:
            _refuse_code(folder, family)
        raise ModelFileError(
            f"{folder}: transformers cannot read its config.json: {_first_line(error)}", hint=_UPGRADE
        ) from error
    if type(config) not in lib.causal_models:
        if "auto_map" in values:
            _refuse_code(folder, family)
        raise ModelFileError(
            f"{folder}: transformers has no language model of the family {family!r}",
            hint=f"choose a model that writes text, or: {_UPGRADE}",
        )
    network = lib.causal_models[type(config)]
    try:
        lib.dynamic_cache(config=config)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{folder}: transformers keeps no cache for {family!r} that edgelfm could go back in: {error}",
            hint="run this model in llama.cpp or MLX",
        ) from error
    return config, network


def _refuse_code(folder: Path, family: object) -> NoReturn:
    raise ModelFileError(
        f"{folder} comes with a program of its own for the family {family!r}, and edgelfm runs no code of models",
        hint=f"choose a model that transformers knows by itself, or: {_UPGRADE}",
    )


def _weights(
    lib: Library, folder: Path, config: Any, network: Any, options: Mapping[str, Any], progress: Progress | None
) -> Any:
    try:
        with quiet(lib, None if progress is None else _telling(progress)):
            model, told = network.from_pretrained(
                folder, config=config, use_safetensors=True, local_files_only=True, trust_remote_code=False,
                output_loading_info=True, ignore_mismatched_sizes=True,
                attn_implementation="sdpa" if getattr(network, "_supports_sdpa", False) else "eager", **options,
            )  # fmt: skip
    except EdgelfmError:
        raise
    except ImportError as error:  # a format of weights that wants a library of its own
        raise BackendError(f"transformers cannot load {folder.name}: {_first_line(error)}", hint=_UPGRADE) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{folder}: transformers cannot make a {config.model_type!r} model of it: {_first_line(error)}",
            hint=_UPGRADE,
        ) from error
    except Exception as error:  # torch's RuntimeError, and errors of safetensors that are nothing narrower
        raise BackendError(
            f"torch could not load the weights of {folder.name}: {_first_line(error)}",
            hint="free some memory, or ask for a smaller model",
        ) from error
    wrong = [f"{one[0]} has the shape {[*one[1]]} and should have {[*one[2]]}" for one in told["mismatched_keys"]]
    wrong += [f"{name} is missing" for name in told["missing_keys"]]
    wrong += [f"{name} belongs to nothing" for name in told["unexpected_keys"]]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ModelFileError(
            f"{folder}: weights and config.json do not fit: {min(wrong)}{more}", hint="download both again"
        )
    return model.eval()


def _rehearse(lib: Library, model: Any) -> None:
    """Compute something, so that what cannot run is found out now, and what has something to say says it unheard."""
    try:
        with quiet(lib), lib.torch.inference_mode():
            cache = lib.dynamic_cache(config=model.config)
            for tokens in ([0, 0], [0]):
                calling.head(model)(lib.torch.tensor([tokens], device=model.device), cache)
    except (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BackendError(
            f"torch cannot compute with a {model.config.model_type!r} model: {_first_line(error)}",
            hint="free some memory, or run this model in llama.cpp",
        ) from error


def _telling(progress: Progress) -> Callable[[int, int], None]:
    def step(done: int, of: int) -> None:
        if not progress(0.99 * done / of):
            raise BackendError("loading was abandoned")

    return step


def _first_line(error: BaseException) -> str:
    """What a library says, without its advice to its own users."""
    if isinstance(error, KeyError):
        return f"no {error} in it"
    return str(error).strip().partition("\n")[0] or type(error).__name__
