"""An executed notebook as a web page, about as an editor shows it."""

import html

import nbformat
from markdown_it import MarkdownIt

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 12px 20px; max-width: 1000px; font: 14px/1.5 system-ui, "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) { body { background: #1f1f1f; color: #d4d4d4; } pre { background: #2a2a2a; } }
@media (prefers-color-scheme: light) { pre { background: #f5f5f5; } }
pre { padding: 8px 10px; font: 12.5px/1.45 "DejaVu Sans Mono", monospace; overflow-x: auto; border-radius: 4px; }
h1 { font-size: 24px; } h2 { font-size: 18px; margin: 18px 0 6px; }
.error { color: #d64545; white-space: pre-wrap; }
"""


def page_of(notebook: nbformat.NotebookNode, with_source: bool = True) -> str:
    """Render a notebook with its outputs."""
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(MarkdownIt().render(cell.source))
            continue
        if with_source:
            parts.append(f"<pre>{html.escape(cell.source)}</pre>")
        for output in cell.outputs:
            if output.output_type == "error":
                parts.append(f'<pre class="error">{html.escape("".join(output.traceback))}</pre>')
            elif output.output_type == "stream":
                parts.append(f"<pre>{html.escape(output.text)}</pre>")
            else:
                parts.append(f'<div class="output">{output.data["text/html"]}</div>')
    head = f'<meta charset="utf-8"><title>notebook</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"
