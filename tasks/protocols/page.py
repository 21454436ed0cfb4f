"""One HTML page of a benchmark by protocol, which needs no other file and no network."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from storage.finished_file import write_text
from tasks.data.audit import kept_verdict
from tasks.protocols.table import Table, cells, legend
from tasks.run.settings import SettingsError

_STYLE = (
    "body{font:15px system-ui;margin:2em auto;max-width:68em;padding:0 1em;color:#1d2530}"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px}"
    "th,td{padding:.3em .7em;border-bottom:1px solid #dfe4ea;vertical-align:top}th{text-align:left}"
    "td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}tr.here{background:#eef5f8;font-weight:600}"
    ".line{background:#f6f2e8;padding:.7em 1em;border-left:4px solid #d9822b}td:first-child{min-width:15em}"
    "figure{margin:1.2em 0}svg{max-width:100%;height:auto}"
    ".source{font-size:12.5px;color:#5b6675;font-weight:400;max-width:26em}"
)


def write_page(table: Table, pictures: Mapping[str, str], path: Path, audit: Path | None = None) -> Path:
    """Write the table, the protocol's line, the verdict of an audit and the plots to `path`; returns it."""
    heads, rows = cells(table, intervals=True)
    title = f"Protocol {table.protocol.name}"
    numbers = range(1, len(heads) - 2)
    body = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(title)}</title><style>{_STYLE}</style><main>",
        f"<h1>{_text(title)}</h1><p>{_text(table.protocol.rules.about)}.",
        "<div class=wide tabindex=0 role=region aria-label='errors'><table><thead><tr>",
        *(f"<th scope=col>{_text(name)}" for name in heads),
        "</thead><tbody>",
    ]
    for row, cell in zip(table.rows, rows):
        body.append(f"<tr class='{'here' if row.mark == 'here' else 'other'}'>")
        for k, text in enumerate(cell):
            kind = " class=n" if k in numbers else " class=source" if k == len(cell) - 1 else ""
            body.append(f"<td{kind}>{_text(text)}")
    body += ["</tbody></table></div>", f"<p class=line>{_text(table.line)}"]
    body += [f"<p>{_text(text)}" for text in (*table.remarks, *legend(table))]
    body += [f"<h2>Leakage</h2><p>{_text(_verdict(audit))}"] if audit else [
        "<h2>Leakage</h2><p>Not audited. <code>hmr-align data audit --json FILE</code> compares this set with what was "
        "trained on; give the file with --audit."
    ]  # fmt: skip
    body += [
        "<h2>Plots</h2><p>Each lies beside this page as SVG and PDF, with its data as CSV.",
        *map(_figure, pictures.values()),
    ]
    write_text(path, "\n".join([*body, "</main></html>"]))
    return path


def _figure(svg: str) -> str:
    inline = svg[svg.index("<svg") :]
    names: dict[str, str] = {}
    mark = f"p{crc32(svg.encode())}-"  # ids of several plots in one page must differ
    for name in re.findall(r'\bid="([^"]+)"', inline):
        names[name] = mark + name
    inline = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{names[m[1]]}"', inline)
    inline = re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + names.get(m[2], m[2]), inline)
    return f"<figure>{inline}</figure>"


def _verdict(audit: Path) -> str:
    found = kept_verdict(audit)
    if found is None:
        raise SettingsError(f"{audit}: there is no such file. Give what `hmr-align data audit --json` wrote.")
    return found


def _text(value: object) -> str:
    return html.escape(str(value))
