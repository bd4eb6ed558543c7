"""A CVAT that somebody has started by CVAT's own compose files, which have the same project name."""

import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.throw_away import PROJECT_LABEL, Cvat, throw_away_cvat


@pytest.fixture
def upstream(engine: Any, tmp_path: Path) -> Iterator[Cvat]:
    """Containers and a volume as CVAT's own compose files label them; what runs in them does not matter."""
    cvat = throw_away_cvat(tmp_path, engine, {})
    nothing = io.BytesIO()
    tarfile.open(fileobj=nothing, mode="w").close()
    image = f"{cvat.project}-nothing:{secrets.token_hex(3)}"
    engine.api.import_image_from_data(nothing.getvalue(), *image.split(":"))
    label = {PROJECT_LABEL: cvat.project}
    volume = engine.volumes.create(f"{cvat.project}_cvat_db", labels=label | {"com.docker.compose.volume": "cvat_db"})
    made = [
        engine.containers.create(
            image,
            "/none",
            name=f"{cvat.project}-{service}",
            labels=label | {"com.docker.compose.service": service},
            environment={"POSTGRES_USER": "root", "POSTGRES_HOST_AUTH_METHOD": "trust"},
            volumes=[f"{volume.name}:/var/lib/postgresql/data"] if service == "cvat_db" else [],
        )
        for service in ("cvat_db", "cvat_server", "traefik")
    ]
    try:
        yield cvat
    finally:
        for container in made:
            container.remove(force=True)
        volume.remove()
        engine.images.remove(image)


def test_up_leaves_it_alone_and_says_how_to_start_one_beside_it(upstream: Cvat) -> None:
    before = {one.id for one in upstream.containers()}
    refusal = upstream.make("up", code=1)
    assert "something else has started" in refusal.stderr
    assert "COMPOSE_PROJECT_NAME=" in refusal.stderr
    assert {one.id for one in upstream.containers()} == before
    assert upstream.volumes() == [f"{upstream.project}_cvat_db"]
