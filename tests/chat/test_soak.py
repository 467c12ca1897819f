"""A thousand things that people do with conversations, at random: no answer may depend on what was done before it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from edgelfm.chat import resuming, saved
from edgelfm.chat.conversation import Conversation
from edgelfm.chat.engine import Engine
from edgelfm.models.entry import Sampling

OPERATIONS = 1000
LONGEST = 300  # tokens; then the conversation begins anew
WORDS = ["one", "two", "three", "the", "colour", "of", "sea", "number", "says", "hello", "there", "and", "why"]
ACTS = ["send", "send", "send", "cancel", "regenerate", "edit", "fork", "undo", "switch", "save"]


def said(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randrange(1, 7)))


def act(name: str, talks: list[Conversation], which: int, chance: random.Random, engine: Engine, file: Path) -> bool:
    """Do it. Returns whether there is a new answer."""
    talk = talks[which]
    turns = sum(message.role == "user" for message in talk.messages)
    greedy = {"temperature": 0, "repetition_penalty": 1, "max_tokens": chance.randrange(1, 6)}
    if talk.context_used > LONGEST:
        talk.reset()
        turns = 0
    if name == "send" or not turns:
        talk.send(said(chance), **greedy)
    elif name == "cancel":
        stream = talk.stream(said(chance), **(greedy | {"max_tokens": 50}))
        for number, _ in enumerate(stream):
            if number == 2:
                stream.cancel()
        return not stream._written.failed and bool(stream._written.raw)
    elif name == "regenerate":
        talk.regenerate(**greedy)
    elif name == "edit":
        talk.edit(chance.randrange(turns), said(chance), **greedy)
    elif name == "fork":
        talks[chance.randrange(len(talks))] = talk.fork(chance.randrange(turns + 1))
        return False
    elif name == "undo":
        talk.undo()
        return False
    elif name == "switch":
        talk.switch(chance.choice(talk.tree.nodes))
        return False
    else:
        talk.save(file, state=chance.random() < 0.5)
        if chance.random() < 0.5:
            engine.session.forget()  # as after a restart
        talks[which] = resuming.resume(engine, file, saved.read_chat(file))
        return False
    return True


def test_a_thousand_operations(tiny_path: Path, engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Answers are those of an evaluation from scratch, and memory stays flat."""
    # One token a batch: then how a prompt was cut cannot change the rounding, and equality is exact.
    used = engine(tiny_path, micro_batch=1, state_bytes=2_000_000)
    scratch = engine(tiny_path, micro_batch=1).session
    chance = random.Random(2026)
    talks = [Conversation(used, system="Be brief." if number else None) for number in range(4)]
    process, resident = psutil.Process(), []
    done: Counter[str] = Counter()
    for number in range(OPERATIONS):
        name, which = chance.choice(ACTS), chance.randrange(len(talks))
        if act(name, talks, which, chance, used, tmp_path / f"talk-{which}.json"):
            *before, answer = talks[which].messages
            assert answer.ids is not None
            scratch.forget()
            events = scratch.generate(used.prompt(before).ids, Sampling(), max_tokens=max(1, len(answer.ids)))
            expected = [token for event in events for token in event.ids]
            assert list(answer.ids) == expected, (number, name)
        done[name] += 1
        resident.append(process.memory_info().rss)
    assert min(done.values()) > 50
    second = resident[OPERATIONS // 2 :]
    assert max(second) <= 1.05 * second[0]
    assert used.session.kept().bytes <= 2_000_000
