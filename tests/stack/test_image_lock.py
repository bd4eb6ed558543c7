"""What is started is what was pulled, whatever the tags name later."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.registry import Registry
from tests.support.throw_away import Cvat, remove, throw_away_cvat
from toolkit.stack.engine import registry_digests

NAMES = ("db", "redis_inmem", "redis_ondisk", "opa", "server", "ui")


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as one:
        yield one


@pytest.fixture
def cvat(tmp_path: Path, engine: Any, registry: Registry) -> Iterator[Cvat]:
    images = {name: f"{registry.address}/{name}" for name in NAMES}
    settings = {f"CVAT_{name.upper()}_IMAGE": f"{images[name]}:1" for name in NAMES[:4]}
    settings |= {f"CVAT_{name.upper()}_IMAGE": images[name] for name in NAMES[4:]}
    one = throw_away_cvat(tmp_path, engine, {**settings, "CVAT_VERSION": "1"})
    try:
        yield one
    finally:
        remove(one)
        for image in engine.images.list():
            if any(tag.startswith(registry.address) for tag in image.tags + image.attrs["RepoDigests"]):
                engine.images.remove(image.id, force=True)


def locked(cvat: Cvat) -> dict[str, str]:
    digests: dict[str, str] = json.loads((cvat.root / "config" / "cvat.lock").read_text())
    return {image.partition("/")[2]: digest for image, digest in digests.items()}


def used(cvat: Cvat, service: str) -> tuple[str, str]:
    """Return what a service's container was made from: as it was named, and the text in it."""
    container = cvat.container(service)
    pieces, _ = container.get_archive("/text")
    return container.attrs["Config"]["Image"], b"".join(pieces)[512:].rstrip(b"\0").decode()


def test_what_was_pulled_is_started_until_the_next_pull(cvat: Cvat, registry: Registry, engine: Any) -> None:
    digests = {f"{name}:1": registry.put(name, "1", f"first {name}") for name in NAMES}
    assert "another image" not in cvat.make("pull").stderr
    assert locked(cvat) == digests

    digests["db:1"] = registry.put("db", "1", "second db")
    changed = [line for line in cvat.make("pull").stderr.splitlines() if "another image than at the last pull" in line]
    assert len(changed) == 1
    assert f"{registry.address}/db:1" in changed[0]
    assert digests["db:1"] in changed[0]
    assert locked(cvat) == digests

    # Somebody has the tag name another image on this machine.
    assert engine.images.get(f"{registry.address}/ui:1").tag(f"{registry.address}/db", "1")
    started = cvat.up(code=1)  # there is no program in these images
    assert "docker compose up failed" in started.stderr
    assert used(cvat, "cvat_db") == (f"{registry.address}/db:1@{digests['db:1']}", "second db")
    assert used(cvat, "cvat_worker") == (f"{registry.address}/server:1@{digests['server:1']}", "first server")

    # On a machine that has none of them, what is got is not what the tag names by then.
    cvat.make("down")
    for image in engine.images.list():
        if any(name.startswith(registry.address) for name in image.attrs["RepoDigests"]):
            engine.images.remove(image.id, force=True)
    registry.put("db", "1", "third db")
    assert "Pulled 6 images" in cvat.up(code=1).stderr
    assert used(cvat, "cvat_db")[1] == "second db"
    assert locked(cvat) == digests


def test_a_damaged_lock_is_refused(cvat: Cvat) -> None:
    lock = cvat.root / "config" / "cvat.lock"
    for text in ("[]", '{"a": 1}', '{"a": "sha256:$(id)"}', "[" * 100_000, "\0"):
        lock.write_text(text)
        assert "cvat.lock is not as `make pull` writes it" in cvat.make("pull", code=1).stderr


class _Engine:
    def __init__(self, digests: list[str] | None) -> None:
        self.images = self
        self.attrs = {"RepoDigests": digests}

    def get(self, _: str) -> "_Engine":
        return self


@pytest.mark.parametrize(
    ("image", "digests", "found"),
    [
        ("own/server:1", None, []),
        ("redis:7", ["redis@sha256:a"], ["sha256:a"]),
        ("docker.io/library/redis:7", ["redis@sha256:a"], ["sha256:a"]),
        ("cvat/server:v1", ["mirror.example/cvat/server@sha256:m", "cvat/server@sha256:a"], ["sha256:a"]),
        ("host:5000/db", ["host:5000/db@sha256:a", "host:5000/db@sha256:b"], ["sha256:a", "sha256:b"]),
        ("host:5000/db:1@sha256:a", ["host:5000/db@sha256:a"], ["sha256:a"]),
        ("own/server:1", ["other/server@sha256:a"], []),
    ],
)
def test_the_digest_is_that_of_the_registry_the_name_is_of(
    image: str, digests: list[str] | None, found: list[str]
) -> None:
    engine: Any = _Engine(digests)
    assert registry_digests(engine, image) == found
