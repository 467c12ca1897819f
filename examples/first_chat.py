"""Load a model, stream an answer, ask a second question in the same conversation.

python examples/first_chat.py            the model that suits this machine
python examples/first_chat.py starter    the small model that needs no download
"""

from __future__ import annotations

import sys

import edgelfm

with edgelfm.load(sys.argv[1] if len(sys.argv) > 1 else None) as lfm:
    talk = lfm.conversation(system="You are a friendly gardener. Answer in two sentences.")
    for question in ("Why do tomatoes need sun?", "And water?"):
        print(f"\n> {question}")
        stream = talk.stream(question, max_tokens=120)
        for text in stream:
            print(text, end="", flush=True)
        print(f"\n[{stream.reply.summary()}]")
