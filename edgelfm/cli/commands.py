"""The slash commands of `edgelfm chat`: one function each, its docstring is its help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import write_atomically
from ..backends.base import Memory
from ..backends.remote.candidate import SERVERS_OWN
from ..chat.options import read_options
from ..chat.outline import branch_lines, outline
from ..errors import NoDiskSpace, RequestError
from ..units import format_bytes
from .output import write_facts, write_line

if TYPE_CHECKING:
    from .talk import Talk

_SETTABLE = {
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "repetition_penalty": float,
    "max_tokens": int,
    "seed": int,
}  # fmt: skip


class Quit(Exception):
    """The conversation is over."""


def run(talk: Talk, line: str) -> None:
    """Do what `line` says. Raises `RequestError` for a command that is not known, `Quit` at the end."""
    name, _, argument = line.partition(" ")
    command = _COMMANDS.get(name)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, _COMMANDS, n=1)
        raise RequestError(f"no command is called {name}", hint=near[0] if near else "/help")
    command(talk, argument.strip())


def _help(talk: Talk, _: str) -> None:
    """show this list"""
    write_facts([_explained(name, command) for name, command in _COMMANDS.items()])
    write_line()
    write_line('A line that ends in a backslash goes on. """ begins and ends a text of several lines.', style="dim")


def _system(talk: Talk, text: str) -> None:
    """TEXT: show the system prompt, or put another in its place; the conversation stays"""
    rest = [message for message in talk.conversation.messages if message.role != "system"]
    if text:
        talk.conversation = talk.model.conversation(system=text, messages=rest or None)
    now = [message.content for message in talk.conversation.messages if message.role == "system"]
    write_line(now[0] if now else "There is no system prompt.", style="dim")


def _reset(talk: Talk, _: str) -> None:
    """forget the conversation, keep the system prompt"""
    talk.conversation.reset()
    write_line("Forgotten.", style="dim")


def _undo(talk: Talk, _: str) -> None:
    """take back the last message and its answer; /branches still shows them"""
    talk.conversation.undo()
    write_line(f"{len(talk.conversation.messages)} messages left.", style="dim")


def _regenerate(talk: Talk, _: str) -> None:
    """answer the last message again"""
    talk.regenerate()


def _history(talk: Talk, _: str) -> None:
    """show what was said, with the numbers for /edit"""
    if not talk.conversation.messages:
        raise RequestError("nothing has been said yet", hint="type a message")
    for line in outline(talk.conversation.tree):
        write_line(line)


def _edit(talk: Talk, argument: str) -> None:
    """N TEXT: say TEXT in place of message N, as in /edit 0 Hello; /edit -1 TEXT changes the last one"""
    number, _, text = argument.partition(" ")
    turn = _whole(number, "which message?", "/edit 0 Hello, with a number from /history")
    if not text.strip():
        raise RequestError("what shall it say?", hint=f"/edit {turn} Hello")
    talk.edit(turn, text.strip())


def _branches(talk: Talk, _: str) -> None:
    """show the other ways this conversation went, with the numbers for /switch"""
    lines = branch_lines(talk.conversation.tree)
    for line in lines:
        write_line(line)
    if len(lines) < 2:
        write_line("Nothing else. /edit and /regenerate begin another branch.", style="dim")


def _switch(talk: Talk, argument: str) -> None:
    """N: go to a branch, as in /switch 0"""
    number = _whole(argument, "which branch?", "/switch 0, with a number from /branches")
    leaves = talk.conversation.tree.leaves()
    if not 0 <= number < len(leaves):
        raise RequestError(f"there is no branch {number}", hint="/branches")
    talk.conversation.switch(leaves[number])
    _history(talk, "")


def _set(talk: Talk, argument: str) -> None:
    """NAME VALUE: show or change sampling, as in /set temperature 0.7"""
    name, _, value = argument.partition(" ")
    if name:
        kind = _SETTABLE.get(name)
        if kind is None:
            raise RequestError(f"{name!r} cannot be set", hint=f"/set with one of {', '.join(_SETTABLE)}")
        try:
            number = kind(value)
        except ValueError:
            raise RequestError(f"{name} is {value!r}", hint=f"/set {name} with a number") from None
        changed = {**talk.options, name: number}
        read_options(talk.model.entry.sampling, changed)  # type: ignore[arg-type]
        talk.options = changed  # type: ignore[assignment]
    preset = talk.model.entry.sampling
    read = read_options(preset, talk.options)
    names = list(_SETTABLE)[:5]
    sent = names if preset.source != SERVERS_OWN else read.asked
    shown = {field: getattr(read.sampling, field) if field in sent else None for field in names}
    shown |= {"max_tokens": read.max_tokens, "seed": read.seed}
    write_facts([(field, "not set" if value is None else f"{value:g}") for field, value in shown.items()])
    write_line(f"from {read.sampling.source}" if read.sampling.source else "", style="dim")


def _save(talk: Talk, argument: str) -> None:
    """FILE [state]: write it as JSON (.json; with state, /load evaluates nothing again) or else as Markdown"""
    name, state = argument.removesuffix(" state").strip(), argument.endswith(" state")
    file = _file(name, "/save talk.json")
    if file.suffix == ".json":
        written = talk.conversation.save(file, state=state)
        kept = f", and {format_bytes(written[1].stat().st_size)} of state in {written[1]}" if len(written) > 1 else ""
        if state and not kept:
            kept = "; there is no state to keep yet"
    elif state:
        raise RequestError("a state goes with JSON", hint=f"/save {file.with_suffix('.json')} state")
    else:
        text = "\n\n".join(f"**{message.role}**\n\n{message.content}" for message in talk.conversation.messages)
        try:
            write_atomically(file, [(text + "\n").encode()])
        except OSError as error:
            if isinstance(error, NoDiskSpace):
                raise
            raise RequestError(f"cannot write {file}: {error.strerror}", hint="/save to another place") from error
        kept = ""
    write_line(f"{len(talk.conversation.messages)} messages in {file}{kept}", style="dim")


def _load(talk: Talk, path: str) -> None:
    """FILE: go on with a conversation saved as JSON"""
    talk.take_up(_file(path, "/load talk.json"))


def _stats(talk: Talk, _: str) -> None:
    """show tokens, speed and memory"""
    speeds = [speed for reply in talk.replies if (speed := reply.timings.decode_tokens_per_second) is not None]
    here = bool(talk.model.candidate.memory.parts)  # a server does not tell what it holds
    held = talk.model.memory() if here else Memory(0, 0, 0, 0, 0)
    expected = talk.model.candidate.decode
    write_facts([
        ("replies", str(len(talk.replies))),
        ("tokens written", str(sum(reply.usage.completion_tokens for reply in talk.replies))),
        ("decode", f"{sum(speeds) / len(speeds):.1f} tokens/s on average" if speeds else ""),
        ("expected", f"{expected.low:.0f} to {expected.high:.0f} tokens/s" if expected.low and expected.high else ""),
        ("held by the model", f"{format_bytes(held.total)}: weights {format_bytes(held.weights)}, KV cache "
                              f"{format_bytes(held.kv)}, convolution state {format_bytes(held.conv)}, "
                              f"buffers {format_bytes(held.compute + held.output)}" if here else ""),
    ])  # fmt: skip


def _context(talk: Talk, _: str) -> None:
    """show how much of the context is used"""
    used, size = talk.conversation.context_used, talk.model.context
    share = f" of {size} tokens, {used / size:.0%}" if size else " tokens"
    write_line(f"{used}{share}. {len(talk.conversation.messages)} messages.", style="dim")


def _quit(talk: Talk, _: str) -> None:
    """end the conversation, as Ctrl-D does"""
    raise Quit


_COMMANDS: dict[str, Callable[[Talk, str], None]] = {
    "/help": _help,
    "/system": _system,
    "/reset": _reset,
    "/undo": _undo,
    "/regenerate": _regenerate,
    "/edit": _edit,
    "/history": _history,
    "/branches": _branches,
    "/switch": _switch,
    "/set": _set,
    "/save": _save,
    "/load": _load,
    "/stats": _stats,
    "/context": _context,
    "/quit": _quit,
}
NAMES = tuple(_COMMANDS)


def _explained(name: str, command: Callable[[Talk, str], None]) -> tuple[str, str]:
    """The command with its arguments, and what it does."""
    arguments, colon, does = (command.__doc__ or "").partition(": ")
    return (f"{name} {arguments}", does) if colon else (name, arguments)


def _file(path: str, example: str) -> Path:
    if not path:
        raise RequestError("which file?", hint=example)
    return Path(path).expanduser()


def _whole(text: str, question: str, example: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RequestError(question if not text else f"{text!r} is not a number", hint=example) from None
