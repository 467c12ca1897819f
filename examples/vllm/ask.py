"""A conversation with a model behind a server, the same as with one that runs here: python ask.py URL [KEY].

Works with vLLM (see compose.yaml and node.sh beside this file) and with whatever else speaks the OpenAI protocol.
"""

import sys

import edgelfm

url, key = [*sys.argv[1:], None, None][:2]
with edgelfm.connect(url, key=key) as lfm:
    print(lfm)
    talk = lfm.conversation(system="You are a gardener. Answer in one sentence.")
    for question in ("What grows in a dry corner?", "And in the shade?"):
        print(f"> {question}")
        stream = talk.stream(question, max_tokens=80)
        for text in stream:
            print(text, end="", flush=True)
        print(f"\n  {stream.reply.summary()}")
