"""Why a round of training stopped: a page with the guard's rules, their last values, and the curves."""

from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from hmr.alignment.guard import GuardLook, GuardRule, StabilityGuard
from hmr.alignment.objectives import advice_after
from hmr.alignment.trainer import TrainResult, TrainSettings
from storage.finished_file import write_text
from tasks.report.report_figures import RoundRecord, learning_curves

__all__ = ["NAME", "write_stop_page"]

NAME = "why_it_stopped.html"

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Why training stopped</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 24px auto; padding: 0 16px; color: #1f2933; }
table { border-collapse: collapse; margin: 12px 0 28px; } th, td { padding: 4px 14px 4px 0; text-align: left; }
th { border-bottom: 1px solid #b8c0ca; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
tr.broken { color: #b3372f; font-weight: 600; } tr.best { color: #1a7f4b; } p.note { color: #5b6675; max-width: 80ch; }
svg { width: 100%; height: auto; }
</style></head><body>
<h1>Why training stopped</h1>
<p><b>{{ reason }}</b>. The model of step {{ best }} was kept.</p>
<p class="note">{{ counts.trained_on }} of {{ counts.groups }} groups were trained on: {{ counts.silent }} have no
score, {{ counts.flat }} have scores that differ too little. Objective: {{ objective }}.</p>
{% if advice %}<p><b>Advice</b>: {{ advice }}.</p>
{% endif %}<h2>The guard's rules at step {{ last }}</h2>
<table><tr><th>threshold</th><th>limit</th><th>measured</th><th></th></tr>
{% for rule in rules %}<tr{% if rule.broken %} class="broken"{% endif %}><td>{{ rule.name }}</td>
<td class="n">{{ number(rule.limit) }}</td><td class="n">{{ number(rule.value) }}</td>
<td>{{ rule.says if rule.broken else "" }}</td></tr>
{% endfor %}</table>
<h2>Looks at validation</h2>
<table><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for one in evaluations %}<tr{% if one.step == best %} class="best"{% endif %}>
{% for name in columns %}<td class="n">{{ number(one[name]) }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% if curves %}<h2>Curves</h2>{{ curves }}{% endif %}
</body></html>
"""


def write_stop_page(folder: Path, result: TrainResult, settings: TrainSettings) -> Path:
    """Write the page next to the round's curves, which must be in `folder` already; returns its path."""
    decision, history, objective = result.decision, result.evaluations, settings.resolved()
    record = RoundRecord(
        1, folder / "curves.parquet", folder / "evaluations.parquet", decision.best.step, decision.reason
    )
    table = pd.DataFrame([vars(one) for one in history]).dropna(axis=1, how="all")
    text = (
        Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        .from_string(_PAGE)
        .render(
            reason=decision.reason,
            best=decision.best.step,
            last=history[-1].step,
            counts=result.counts,
            objective=objective.name,
            advice=next(filter(None, (advice_after(row, objective) for row in result.curves)), None),
            rules=_rules(history, settings),
            columns=list(table.columns),
            evaluations=table.to_dict("records"),
            curves=learning_curves([record]),
            number=_number,
        )
    )
    path = folder / NAME
    write_text(path, text)
    return path


def _rules(history: list[GuardLook], settings: TrainSettings) -> list[GuardRule]:
    return StabilityGuard(settings.guard).rules(history)


def _number(value: Any) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.4g}"
