"""Go back in a conversation and take another way. What the model has seen already is not evaluated again.

python examples/another_way.py            the model that suits this machine
python examples/another_way.py starter    the small model that needs no download
"""

from __future__ import annotations

import sys

import edgelfm

with edgelfm.load(sys.argv[1] if len(sys.argv) > 1 else None) as lfm:
    talk = lfm.conversation(system="You are a friendly gardener. Answer in one sentence.")
    talk.send("My tomatoes have yellow leaves. Why?", max_tokens=60)
    talk.send("What should I do first?", max_tokens=60)

    again = talk.regenerate(max_tokens=60, temperature=0.9)
    print(f"another answer    {again.summary()}")
    edited = talk.edit(0, "My basil has brown leaves. Why?", max_tokens=60)
    print(f"another question  {edited.summary()}")

    print(f"\n{talk}\n")
    for version in talk.branches(0).questions:
        talk.switch(version)
        print(f"{version.message.content}\n  {len(talk.messages)} messages, the last: {talk.messages[-1].content[:60]}")

    other = talk.fork()  # from here on, two conversations
    winter = other.send("And in winter?", max_tokens=60)
    print(f"\na fork            {winter.summary()}")
