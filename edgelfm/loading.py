"""`inspect()`, `plan()`, `load()`, `resume()`: the way from a machine to a running model. No arithmetic here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import on_disk, read_host, read_request
from .chat.answering import LoadedAs
from .chat.conversation import Conversation
from .connecting import connect
from .hardware.host import Host
from .model import Model
from .served import REMOTE, with_servers

if TYPE_CHECKING:
    from .models.entry import Task
    from .models.progress import Show as Fetched
    from .planning.plan import KvType, Plan
    from .tuning.progress import Show as Measured


def inspect(*, bandwidth: bool = True) -> Host:
    """Look at this machine. Never raises; `Host.remarks` says what could not be read.

    `bandwidth` measures how fast memory can be read, which takes about 100 ms once per boot.
    """
    from . import hardware

    return hardware.inspect(bandwidth=bandwidth)


def plan(
    name: str | Path | None = None,
    *,
    task: Task = "chat",
    context: int | None = None,
    quantization: str | None = None,
    backend: str | None = None,
    memory: str | int | None = None,
    kv_type: KvType | None = None,
    threads: int | None = None,
    micro_batch: int | None = None,
    adapter: str | Path | None = None,
    host: Host | str | Path | None = None,
    profile: str | Path | None = None,
    offline: bool | None = None,
) -> Plan:
    """What would run, why, and what it would cost. Loads and downloads nothing.

    `name` asks for one model: a name from `edgelfm models`, a repository, a `.gguf` file or a folder. `context` is in
    tokens, `memory` in bytes or as "1.5 GiB". `adapter` is a LoRA that is to run beside the model; one on
    the Hub is fetched, as what it weighs stands in its file. `host` plans for
    another machine: a `Host`, or a file that `edgelfm doctor --save` wrote there. Whatever you give is kept; whatever
    you leave out is decided. What servers on this machine have comes after all that runs here by itself, unless you ask
    for `backend="remote"`.

    Raises `UnknownModel`, `ModelFileError`, `ProfileError`, `HostFileError`, `RequestError`.
    """
    from .backends import registry
    from .hardware import profiles
    from .models import catalog
    from .planning import plan as make_plan
    from .planning import record_store

    request = read_request(
        name, task, context, quantization, backend, memory, kv_type, threads, micro_batch, adapter, offline
    )
    machine = inspect() if host is None else read_host(host)
    entries = tuple(catalog.load())
    measured = record_store.look()
    made = make_plan(
        machine,
        profiles.match(machine, override=profile),
        entries,
        request,
        drivable=registry.names(),
        on_disk=on_disk([request.model] if request.model else entries) if host is None else frozenset(),
        records=measured.records,
        remarks=measured.remarks,
    )
    return with_servers(made, ask=host is None and not offline)


def load(
    name: str | Path | None = None,
    *,
    task: Task = "chat",
    context: int | None = None,
    quantization: str | None = None,
    backend: str | None = None,
    memory: str | int | None = None,
    kv_type: KvType | None = None,
    threads: int | None = None,
    micro_batch: int | None = None,
    adapter: str | Path | None = None,
    profile: str | Path | None = None,
    offline: bool | None = None,
    progress: bool | Fetched = True,
    chat_template: str | None = None,
    tune: bool | Measured = True,
) -> Model:
    """Choose, fetch, check and open a model. With no name, the one that suits this machine.

    The keywords are those of `plan`. `offline=True` never touches the network; `progress=False` shows no bars, and a
    function is told how far a download is; `chat_template` replaces the template in the file. What will not fit is
    refused before any memory is touched.

    `adapter` is a LoRA that runs beside the weights, which stay as they are: the folder that PEFT or mlx-lm saved, a
    repository of the Hub, or for llama.cpp a .gguf file. Without a `name`, the model is the one it was trained on.

    A network that was never run here in that quantization is measured for some five seconds, to find the fastest
    settings. `tune=False` leaves that out; a function is told how far it is. What you ask for stays as you ask.

    Raises `DoesNotFit`, `PlanningError`, `UnknownModel`, the `StoreError` family, `BackendMissing`, `BackendError`.
    """
    from .backends import registry
    from .models import store
    from .planning import require

    made = plan(
        name, task=task, context=context, quantization=quantization, backend=backend, memory=memory, kv_type=kv_type,
        threads=threads, micro_batch=micro_batch, adapter=adapter, profile=profile, offline=offline,
    )  # fmt: skip
    candidate = require(made)
    if candidate.backend == REMOTE:
        return connect(candidate.artifact.repo, candidate.artifact.files[0].name, context=context)
    files = store.fetch(candidate.artifact, license=candidate.model.license, offline=offline, progress=progress)
    if made.request.adapter is not None:
        from .conversion.lora_file import as_read_by

        lora = as_read_by(candidate.backend, made.request.adapter, candidate.model.architecture)
        files = {**files, "adapter": lora}
    started = time.perf_counter()
    session = registry.get(candidate.backend)(candidate, files)
    model = Model(session, made, load_seconds=time.perf_counter() - started, chat_template=chat_template)
    if tune:
        model._tune_on_first_use(tune if callable(tune) else progress is True)
    return model


def resume(
    path: str | Path,
    model: Model | str | Path | None = None,
    *,
    context: int | None = None,
    quantization: str | None = None,
    backend: str | None = None,
    memory: str | int | None = None,
    adapter: str | Path | None = None,
    profile: str | Path | None = None,
    offline: bool | None = None,
    progress: bool = True,
    chat_template: str | None = None,
) -> Conversation:
    """Go on with a conversation that `talk.save(path)` wrote, or that somebody wrote by hand.

    Loads the model it was with, as it was loaded; the keywords are those of `load` and replace what is recorded.
    `model` is one that is loaded already, or the name of another. If a state lies beside the file and fits, the next
    turn evaluates only what is new. If it is damaged, or of another model or build, the text is there all the same, and
    a `StateNotUsed` warning says why; `talk.resumed` knows it too.

    Raises `ChatFileError` naming the place in the file, and what `load` raises.
    """
    from .chat import resuming, saved

    path = Path(path)
    chat = saved.read_chat(path)
    if not isinstance(model, Model):
        recorded = resuming.was_with(path, chat) if model is None else LoadedAs(str(model))
        model = load(
            recorded.name,
            context=context or recorded.context,
            quantization=quantization or recorded.quantization,
            backend=backend or recorded.backend,
            memory=memory,
            adapter=adapter or recorded.adapter,
            profile=profile,
            offline=offline,
            progress=progress,
            chat_template=chat_template,
        )
    return resuming.resume(model._engine, path, chat)
