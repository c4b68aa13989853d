"""Advice and runs as documents that stand alone: HTML with the pictures in it, and Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import vl_convert

from recommender.charts import (
    Picture,
    contribution_bars,
    distance_chart,
    forest_plot,
    freeze_diagram,
    on_page,
    pareto_front,
    realized_chart,
)
from registry.cards import Metric
from registry.escapes import shown
from registry.forms import Json

__all__ = ["advice_html", "advice_markdown", "html_report", "run_html", "svg"]

_WIDTH = 620
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:760px;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top;
border-bottom:1px solid #e1e6ed;overflow-wrap:anywhere}td.number{text-align:right;white-space:nowrap}
svg{max-width:100%;height:auto}pre{background:#f5f7fa;padding:.75rem;overflow-x:auto;white-space:pre-wrap}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}.verdict{font-size:1.15rem;font-weight:600}
"""


def advice_html(advice: Json) -> str:
    """What a notebook shows of advice: the sentence, what stays frozen, how sure it is, and the ranking."""
    pictures = ""
    for best in advice["choices"][:1]:
        drawn = [freeze_diagram(best)] if best["blocks"] else []
        pictures = "".join(f"<div>{svg(one)}</div>" for one in (*drawn, forest_plot(advice)))
    return f"<p><b>{_text(advice['verdict']['sentence'])}</b></p>{pictures}{_ranking(advice)}"


def run_html(run: Json) -> str:
    """What a notebook shows of a run: expected beside realized, and its notes."""
    metrics = run["metrics"]
    head = f"<p><b>{_text(run['checkpoint'])}</b>, {_text(run['strategy'])}, run {_text(run['id'])}</p>"
    rows = [("held-out rows", f"{metrics['rows_test']:.0f}"), ("seconds", f"{metrics['seconds']:.0f}")]
    return head + svg(realized_chart(metrics)) + _table((), rows) + _list(run["notes"])


def html_report(advice: Json, reproduction: Mapping[str, str]) -> str:
    """A page that stands alone: the advice with all of its pictures; ``reproduction`` is code by what it is of."""
    sample, choices = advice["sample"], advice["choices"]
    parts = [f"<h1>{_text(sample['name'])}</h1>", f"<p class=verdict>{_text(advice['verdict']['sentence'])}</p>"]
    if choices:
        best = choices[0]
        if best["blocks"]:
            parts.append(_section("What stays frozen, and what learns", svg(freeze_diagram(best))))
        parts += [
            _section("How sure that is", svg(forest_plot(advice)) + _ranking(advice)),
            _section("What it costs", svg(pareto_front(advice))),
            _section("Because", _list(best["because"])),
        ]
        if best.get("basis"):
            parts.append(_section("What moves the expectation", svg(contribution_bars([best]))))
    if advice["domains"]:
        parts.append(_section("Distance to source domains", svg(distance_chart(advice["domains"]))))
    parts.append(_section("Health of the sample", _list(sample["health"]["warnings"]) or "<p>Nothing amiss.</p>"))
    if considered := advice.get("considered"):
        parts.append(_section("Considered", f"<p>{_text(considered)}</p>"))
    if advice["skipped"]:
        parts.append(_section("Left out", _list(f"{row['checkpoint']}: {row['reason']}" for row in advice["skipped"])))
    for name, code in reproduction.items():
        parts.append(_section(f"The same again: {name}", f"<pre>{escape(code)}</pre>"))
    title = _text(f"transferzoo: {sample['name']}")
    return (
        f'<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><main>{''.join(parts)}"
        f"<p><small>Advice {_text(advice['id'])}. Intervals are nominal 90 %.</small></p></main></html>"
    )


def advice_markdown(advice: Json, reproduction: Mapping[str, str]) -> str:
    """The advice for an issue or a wiki, without pictures; what others named stands as code."""
    metric = Metric(advice["sample"]["metric"])
    lines = [f"# {_code(advice['sample']['name'])}", "", _plain(advice["verdict"]["sentence"]), ""]
    lines += [f"| tier | checkpoint | strategy | expected {metric} | 90 % interval |", "|---|---|---|---|---|"]
    for choice in advice["choices"]:
        expected = choice["expected"]
        name, strategy = _code(choice["checkpoint"]), _code(choice["strategy"])
        score = f"{metric.words(expected['mean'])} | {metric.interval(expected['low'], expected['high'])}"
        lines.append(f"| {choice['tier']} | {name} | {strategy} | {score} |")
    base = advice["baseline"]
    score = f"{metric.words(base['mean'])} | {metric.interval(base['low'], base['high'])}"
    lines += [f"| | no transfer | {_code(base['model'])} | {score} |", ""]
    lines += [f"- {_plain(reason)}" for choice in advice["choices"][:1] for reason in choice["because"]]
    for name, code in reproduction.items():
        lines += ["", f"The same again, {name}:", "", *(f"    {line}" for line in code.splitlines())]
    return "\n".join([*lines, "", f"Advice {_code(advice['id'])}.", ""])


def svg(picture: Picture, width: int = _WIDTH) -> str:
    """A chart as SVG for a white page, drawn without a browser or any file of another host."""
    sized = on_page(picture, "light").properties(width=width)
    return str(vl_convert.vegalite_to_svg(sized.to_dict(), allowed_base_urls=[]))


def _ranking(advice: Json) -> str:
    metric = Metric(advice["sample"]["metric"])
    rows = [
        (
            str(choice["tier"]),
            choice["checkpoint"],
            choice["strategy"],
            metric.words(choice["expected"]["mean"]),
            metric.interval(choice["expected"]["low"], choice["expected"]["high"]),
        )
        for choice in advice["choices"]
    ]
    base = advice["baseline"]
    last = metric.words(base["mean"]), metric.interval(base["low"], base["high"])
    rows.append(("", "no transfer", base["model"], *last))
    return _table(("tier", "checkpoint", "strategy", f"expected {metric}", "90 % interval"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = f"<tr>{''.join(f'<th>{_text(name)}</th>' for name in head)}</tr>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{content}</section>"


def _text(value: object) -> str:
    return escape(shown(value))


def _code(text: object) -> str:
    """A name that Markdown shows as it is, in a table too."""
    bare = shown(text).replace("`", "'").replace("|", "¦")
    return f"`{bare}`"


def _plain(sentence: str) -> str:
    """A sentence of which Markdown makes nothing but text."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|!~$" else sign for sign in shown(sentence))
