"""Plan for a machine that is not here: what would run on it, and what would not?

On the board:    edgelfm doctor --save board.json
Here:            python examples/plan_for_another_board.py board.json
"""

from __future__ import annotations

import sys

from rich import print

import edgelfm
from edgelfm.units import format_bytes

plan = edgelfm.plan(host=sys.argv[1])
print(plan)

# A plan is data too.
if plan.chosen:
    needed = format_bytes(plan.chosen.memory.total)
    print(f"{plan.chosen.model.name} {plan.chosen.quantization}: {needed} of {format_bytes(plan.budget.usable_bytes)}")
for rejected in plan.rejected[:3]:
    print(f"not {rejected.model} {rejected.quantization}: {rejected.reason}; {rejected.fix}")
