"""A dataset or an export as HTML, Markdown and JSON."""
