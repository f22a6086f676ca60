"""`collab validate --json`: one object with stable keys, described in `docs/command-line.md`."""

from dataclasses import asdict

from pydantic import JsonValue

from collab.cli.validate.findings import Findings
from collab.examining.estimate import Estimate, Measured
from collab.examining.examination import ExaminedModel, FoundNeed, Report
from collab.examining.feasibility import Fit

Json = dict[str, JsonValue]


def as_json_object(findings: Findings) -> Json:
    """Return everything that was found."""
    report, estimate = findings.report, findings.estimate
    return {
        "config": str(findings.path),
        "is_fine": findings.is_fine,
        "recipe": {"name": findings.recipe.name, "plugins": list(findings.recipe.needs)},
        "problems": _problems(findings),
        "models": _models(report) if report else None,
        "estimate": _estimate(findings, estimate) if estimate else None,
        "estimate_error": findings.estimate_error or None,
    }


def _problems(findings: Findings) -> JsonValue:
    if findings.config.problems is None:
        return None
    return {
        "file": str(findings.config.problems),
        "problems": len(findings.problems),
        "broken_lines": [{"line": one.line, "why": one.why} for one in findings.broken_lines],
    }


def _models(report: Report) -> JsonValue:
    return {
        "participants": [_participant(one) for one in report.participants],
        "needs": [_need(one) for one in report.needs],
        "tokenizers": {role: str(pairing) for role, pairing in report.pairings.items()},
        "failures": list(report.failures),
        "warnings": list(report.warnings),
        "notes": list(report.notes),
    }


def _participant(one: ExaminedModel) -> JsonValue:
    can, told = one.capabilities, one.diagnosis
    return {
        "role": one.role,
        "is_reached": not one.error,
        "error": one.error or told.failure or None,
        "name": one.name or None,
        "model": told.model or None,
        "place": told.place or None,
        "served_by": told.served_by or None,
        "tokenizer": told.tokenizer or None,
        "has_price": one.has_price,
        "capabilities": asdict(can) if can else None,
        "longest_prompt_tokens": one.longest_prompt,
        "is_longest_prompt_estimated": one.is_estimated,
        "template": asdict(told.template) if told.template else None,
        "not_seen": list(told.notes),
        "remarks": list(told.remarks),
    }


def _need(found: FoundNeed) -> JsonValue:
    need = found.match.need
    return {
        "plugin": found.match.plugin,
        "role": need.role,
        "ability": need.ability,
        "amount": need.amount or None,
        "state": found.state,
        "instead": need.degraded if found.state == "degraded" else None,
    }


def _estimate(findings: Findings, estimate: Estimate) -> JsonValue:
    forecast, plan = estimate.forecast, estimate.forecast.plan
    return {
        "problems": findings.estimate_problems,
        "mentor": estimate.mentor,
        "speeds": {
            "generator": _speed(estimate.generator_fit),
            "mentor": _speed(estimate.mentor_fit),
            "judge_call_s": estimate.judge_call_s,
        },
        "mentor_alone": {
            **_measured(estimate.alone),
            "expected_s_per_1000": 1000 * forecast.alone_s,
            "calls_per_answer_token": plan.alone.calls,
            "mentor_share": 1.0,
        },
        "recipe": {
            **_measured(estimate.recipe),
            "expected_s_per_1000": 1000 * forecast.seconds,
            "expected_s_per_1000_by_term": {
                str(term): 1000 * seconds for term, seconds in forecast.seconds_by_term.items()
            },
            "cost_usd_per_1000_by_role": {
                role: _thousandfold(estimate.recipe.cost_usd(role))
                for role in dict.fromkeys(call.role for call in estimate.recipe.calls)
            },
            "calls_per_answer_token": len(estimate.recipe.calls) / estimate.recipe.answer_tokens,
            "mentor_calls_per_answer_token": estimate.mentor_calls,
            "mentor_share": estimate.recipe.mentor_share,
        },
        "expected_speed_up": forecast.speed_up,
        "measured_speed_up": estimate.measured_speed_up,
        "measured_speed_up_95": list(estimate.measured_range),
        "rounds": estimate.rounds,
        "verdict": estimate.verdict,
        "cost_ratio": forecast.cost_ratio,
        "warnings": list(estimate.warnings),
    }


def _speed(fit: Fit) -> JsonValue:
    return {
        "tokens_per_s": fit.speed.tokens_per_s,
        "token_s": fit.speed.token_s,
        "call_s": fit.speed.call_s,
        "is_separated": fit.is_separated,
    }


def _measured(measured: Measured) -> Json:
    return {
        "answers": len(measured.results),
        "answer_tokens": measured.answer_tokens,
        "measured_s_per_1000": 1000 * measured.token_s,
        "cost_usd_per_1000": _thousandfold(measured.cost_usd()),
    }


def _thousandfold(cost_usd: float | None) -> float | None:
    return None if cost_usd is None else 1000 * cost_usd
