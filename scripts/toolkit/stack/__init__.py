"""The local CVAT in Docker: start, readiness, checks, backups, upgrades."""
