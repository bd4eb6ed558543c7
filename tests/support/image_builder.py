"""Small images in the place of the upstream ones, built on the spot and kept by a hash of what is in them."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.support.script_runs import ROOT

RECIPES = Path(__file__).resolve().parents[1] / "stack" / "images"
NAME = "cvat-toolkit-test"
RELEASE = "bookworm"
DEBIAN_IMAGE = "debian:bookworm-slim"
DEBIAN_PACKAGES = (
    "busybox", "curl", "nginx-light", "postgresql-15", "python3", "redis-server", "redis-tools",
)  # fmt: skip
PYTHON_PACKAGES = (
    "anyio", "click", "h11", "idna", "pillow", "python-multipart", "sniffio", "starlette", "typing-extensions",
    "uvicorn",
)  # fmt: skip
NO_CLUSTER = (
    "mkdir -p {0}/etc/postgresql-common && echo create_main_cluster=false >{0}/etc/postgresql-common/createcluster.conf"
)
"""Keeps the package from making a database while it is installed."""

OLD, NEW, BROKEN = "v2.54.0", "v2.73.0", "v2.74.0"
"""Versions of the CVAT image: the oldest and newest that are supported, and one that spoils its database and ends."""

SERVICE_STAGES = {
    "CVAT_DB_IMAGE": "db",
    "CVAT_REDIS_INMEM_IMAGE": "redis_inmem",
    "CVAT_REDIS_ONDISK_IMAGE": "redis_ondisk",
    "CVAT_OPA_IMAGE": "opa",
}


class CannotBuildError(Exception):
    """There is nothing here to build a base image from."""


def build(client: Any) -> dict[str, str]:
    """Build what is missing and return the settings that make the stack use it."""
    base = _base_image(client)
    mark = _hash([base, *_python_pins()], [RECIPES, ROOT / "scripts" / "standin"])
    settings = {
        "CVAT_VERSION": NEW,
        "CVAT_SERVER_IMAGE": f"{NAME}/server-{mark}",
        "CVAT_UI_IMAGE": f"{NAME}/ui-{mark}",
        **{key: f"{NAME}/{stage}:{mark}" for key, stage in SERVICE_STAGES.items()},
    }
    wanted = [(stage, settings[key], {}) for key, stage in SERVICE_STAGES.items()]
    for one in (OLD, NEW, BROKEN):
        wanted.append(("ui", f"{settings['CVAT_UI_IMAGE']}:{one}", {}))
        arguments = {"CVAT_VERSION": one, "BROKEN": "1" if one == BROKEN else ""}
        wanted.append(("server", f"{settings['CVAT_SERVER_IMAGE']}:{one}", arguments))
    missing = [(stage, tag, arguments) for stage, tag, arguments in wanted if not _has(client, tag)]
    if missing:
        with tempfile.TemporaryDirectory() as scratch:
            context = _context(Path(scratch) / "context")
            for stage, tag, arguments in missing:
                client.images.build(
                    path=str(context), target=stage, tag=tag, buildargs={"BASE": base, **arguments}, rm=True
                )
    return settings


def _has(client: Any, tag: str) -> bool:
    return bool(client.images.list(name=tag))


def _python_pins() -> list[str]:
    pins = []
    for name in PYTHON_PACKAGES:
        try:
            pins.append(f"{name}=={version(name)}")
        except PackageNotFoundError:  # a dependency that newer releases have given up
            continue
    return pins


def _context(folder: Path) -> Path:
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(RECIPES, folder, ignore=without_caches)
    shutil.copytree(ROOT / "scripts" / "standin", folder / "standin", ignore=without_caches)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps", "--no-compile",
            "--target", str(folder / "site-packages"), "--only-binary", ":all:", "--python-version", "3.11",
            "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", *_python_pins(),
        ],
        check=True,
    )  # fmt: skip
    return folder


def _base_image(client: Any) -> str:
    """Return a Debian image with all packages.

    It is made by mmdebstrap from this machine's own apt sources, else from a registry's Debian.
    """
    mark = _hash([RELEASE, NO_CLUSTER, *DEBIAN_PACKAGES], [])
    tag = f"{NAME}/base:{mark}"
    if _has(client, tag):
        return tag
    if shutil.which("mmdebstrap") and os.geteuid() == 0:
        _bootstrap(tag)
        return tag
    with tempfile.TemporaryDirectory() as scratch:
        packages = " ".join(DEBIAN_PACKAGES)
        install = f"apt-get update && apt-get install -y --no-install-recommends {packages} && apt-get clean"
        Path(scratch, "Dockerfile").write_text(f"FROM {DEBIAN_IMAGE}\nRUN {NO_CLUSTER.format('')}\nRUN {install}\n")
        from docker.errors import DockerException

        try:
            client.images.build(path=scratch, tag=tag, rm=True)
        except DockerException as error:
            raise CannotBuildError(
                f"no mmdebstrap for root here, and no {DEBIAN_IMAGE} from a registry: {error}"
            ) from error
    return tag


def _bootstrap(tag: str) -> None:
    sources = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    mirrors = dict(zip(sources[1::2], sources[::2], strict=True))
    if RELEASE not in mirrors:
        raise CannotBuildError(f"no apt source of this machine has Debian {RELEASE}")
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    unneeded = [f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("doc", "man", "locale", "info")]
    command = [
        "mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(DEBIAN_PACKAGES)}",
        "--aptopt=Apt::Install-Recommends false", f"--setup-hook={NO_CLUSTER.format('$1')}",
        *unneeded, "--dpkgopt=path-exclude=/usr/lib/postgresql/*/lib/bitcode/*",
        RELEASE, "-", f"deb [signed-by={keyring}] {mirrors[RELEASE]} {RELEASE} main",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as tree:
        subprocess.run(command, check=True, stdout=tree)
        tree.seek(0)
        subprocess.run(["docker", "import", "-", tag], stdin=tree, stdout=subprocess.DEVNULL, check=True)


def _hash(words: Iterable[str], folders: Iterable[Path]) -> str:
    digest = hashlib.sha256("\n".join(words).encode())
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]
