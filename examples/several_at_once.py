"""Async: three people ask at once, each reads their answer as it comes, one gives up half-way.

The model answers one at a time, first come, first served; the event loop stays free, and giving up frees the model.

    python examples/several_at_once.py [model]
"""

from __future__ import annotations

import asyncio
import sys

import edgelfm


async def ask(lfm: edgelfm.Model, person: str, question: str) -> str:
    stream = lfm.aio.stream(question, max_tokens=60)
    async for text in stream:
        print(f"{person}: {text!r}", flush=True)
    return await stream.reply()


async def main() -> None:
    with edgelfm.load(sys.argv[1] if len(sys.argv) > 1 else None) as lfm:
        impatient = asyncio.create_task(ask(lfm, "Cem", "Tell me a very long story."))
        patient = [
            asyncio.create_task(ask(lfm, "Ada", "Name a prime number.")),
            asyncio.create_task(ask(lfm, "Bo", "Name a river.")),
        ]
        await asyncio.sleep(1)
        impatient.cancel()
        for reply in await asyncio.gather(*patient):
            print("->", reply)


asyncio.run(main())
