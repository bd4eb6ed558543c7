"""How one talks to a CVAT server: HTTP, its API, cvat-cli, tokens, errors."""
