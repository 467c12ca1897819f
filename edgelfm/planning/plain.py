"""A plan as plain data for JSON: every figure, reason and grade. Bytes, tokens per second."""

from __future__ import annotations

from typing import Any

from ..decision import Decision
from .plan import Candidate, Plan, SpeedEstimate


def plan_dict(plan: Plan) -> dict[str, Any]:
    """Plain data for JSON. Sizes are bytes, speeds tokens per second."""
    return {
        "profile": {"id": plan.match.profile.id, "name": plan.match.profile.name, "reason": plan.match.reason},
        "request": {
            "model": plan.request.model.id if plan.request.model else None,
            "task": plan.request.task,
            "context": plan.request.context,
            "quantization": plan.request.quantization,
            "backend": plan.request.backend,
            "memory_bytes": plan.request.memory_bytes,
            "kv_type": plan.request.kv_type,
            "threads": plan.request.threads,
            "micro_batch": plan.request.micro_batch,
            "adapter": plan.request.adapter.where if plan.request.adapter else None,
        },
        "budget": {
            "available_bytes": plan.budget.available_bytes,
            "reserve_bytes": plan.budget.reserve_bytes,
            "usable_bytes": plan.budget.usable_bytes,
            "gpu_bytes": plan.budget.gpu_bytes,
            "reason": plan.budget.reason,
        },
        "chosen": _candidate_dict(plan.chosen) if plan.chosen else None,
        "others": [_candidate_dict(one) for one in plan.candidates[1:]],
        "rejected": [
            {
                "model": one.model,
                "backend": one.backend,
                "quantization": one.quantization,
                "cause": one.cause,
                "reason": one.reason,
                "fix": one.fix,
                "short_bytes": one.short_bytes,
            }
            for one in plan.rejected
        ],
        "advice": list(plan.advice),
    }


def _candidate_dict(candidate: Candidate) -> dict[str, Any]:
    settings = {name: _decision_dict(decision) for name, decision in candidate.settings.decisions().items()}
    return {
        "model": candidate.model.id,
        "name": candidate.model.name,
        "backend": candidate.backend,
        "quantization": candidate.quantization,
        "repo": candidate.artifact.repo,
        "reason": candidate.reason,
        "settings": settings,
        "memory": {
            "total_bytes": candidate.memory.total,
            "gpu_bytes": candidate.memory.on("gpu"),
            "parts": [
                {
                    "name": part.name,
                    "bytes": part.bytes,
                    "grade": part.grade,
                    "note": part.note,
                    "device": part.device,
                }
                for part in candidate.memory.parts
            ],
        },
        "decode": _speed_dict(candidate.decode),
        "prefill": _speed_dict(candidate.prefill),
        "references": [
            {
                "quantization": one.quantization,
                "runtime": one.runtime,
                "decode": one.decode,
                "prefill": one.prefill,
                "source": one.source,
            }
            for one in candidate.references
        ],
        "load_command": candidate.load_command,
    }


def _decision_dict(decision: Decision[Any]) -> dict[str, Any]:
    return {"value": decision.value, "reason": decision.reason, "grade": decision.grade}


def _speed_dict(speed: SpeedEstimate) -> dict[str, Any]:
    return {"low": speed.low, "high": speed.high, "grade": speed.grade, "reason": speed.reason}
