"""The local CVAT: its Compose project, its settings, and where it is found.

A setting comes from the environment, else from ``config/cvat.env``, else from ``compose/versions.env``. The environment
variable ``CVAT_SETTINGS_FILE`` names another file in the place of the second.
"""

import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.secrets import SECRETS

ROOT = Path(__file__).resolve().parents[3]
COMPOSE_FILE = ROOT / "compose" / "compose.yml"
VERSIONS_FILE = ROOT / "compose" / "versions.env"
SETTINGS_FILE = Path(os.environ.get("CVAT_SETTINGS_FILE") or ROOT / "config" / "cvat.env")

PASSWORD_KEY = "CVAT_POSTGRES_PASSWORD"
VERSION_KEY = "CVAT_VERSION"
VOLUMES_KEY = "CVAT_VOLUMES"

SERVICES = ("cvat_db", "cvat_redis_inmem", "cvat_redis_ondisk", "cvat_opa", "cvat_server", "cvat_worker", "cvat_ui")
VOLUMES = ("cvat_db", "cvat_data", "cvat_keys", "cvat_logs", "cvat_inmem_db", "cvat_cache_db")

FOUNDATION = {service: f"{service.upper()}_IMAGE" for service in SERVICES[:4]}
"""The settings that name the images of what CVAT stands on, by service."""

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")

_EVERY_ADDRESS = ("0.0.0.0", "::", "[::]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$)(?:\*\.)?(?:{_LABEL}\.)*{_LABEL}", re.ASCII | re.IGNORECASE)
_PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NO_SUCH_PASSWORDS = {"", "password", "postgres", "cvat", "root", "admin", "secret", "changeme", "change-me", "example"}


@dataclass(frozen=True)
class Stack:
    """One Compose project that runs CVAT.

    Attributes:
        project: The name of the Compose project.
        settings: Every setting by its name, as the compose file takes them; the values may be secret.
    """

    project: str
    settings: Mapping[str, str] = field(repr=False)

    @property
    def port(self) -> int:
        """The port of this machine on which CVAT is published."""
        return int(self.settings.get("CVAT_PORT") or 8080)

    @property
    def bind(self) -> str:
        """The address of this machine on which CVAT is published."""
        return self.settings.get("CVAT_BIND") or "127.0.0.1"

    @property
    def version(self) -> str:
        """The tag of CVAT's images."""
        return self.settings[VERSION_KEY]

    @property
    def volumes_suffix(self) -> str:
        """What the names of the volumes in use end with; empty at first."""
        return self.settings.get(VOLUMES_KEY) or ""

    @property
    def url(self) -> str:
        """The address at which programs of this machine reach CVAT."""
        if self.bind in (*_EVERY_ADDRESS, *LOOPBACK):
            return f"http://localhost:{self.port}"
        host = f"[{self.bind}]" if ":" in self.bind and not self.bind.startswith("[") else self.bind
        return f"http://{host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether only this machine reaches CVAT."""
        return self.bind in LOOPBACK

    @property
    def hosts(self) -> list[str]:
        """The names and addresses of its own at which the front door answers, beside those of this machine alone."""
        return _listed(self.settings.get("CVAT_HOSTS", ""))

    def volume(self, name: str) -> str:
        """Return the engine's name of one of the volumes in :data:`VOLUMES`."""
        return f"{self.project}_{name}{self.volumes_suffix}"

    def image(self, service: str) -> str:
        """Return the image that a service runs."""
        key = {"cvat_worker": "CVAT_SERVER_IMAGE"}.get(service, f"{service.upper()}_IMAGE")
        image = self.settings[key]
        return f"{image}:{self.version}" if service in ("cvat_server", "cvat_worker", "cvat_ui") else image

    def with_settings(self, project: str | None = None, **settings: str) -> "Stack":
        """Return the same stack with another project name or other settings."""
        return replace(self, project=project or self.project, settings={**self.settings, **settings})

    def environment(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment for a program that reads the compose file."""
        environ = os.environ if environ is None else environ
        outside = {name: value for name, value in environ.items() if not name.startswith("COMPOSE_")}
        return {**outside, **self.settings, "COMPOSE_PROJECT_NAME": self.project}


def find_stack(environ: Mapping[str, str] | None = None) -> Stack:
    """Read the settings of the local stack.

    Args:
        environ: The environment; empty values count as not set.

    Returns:
        The stack; the database password is missing from its settings until :func:`keep_settings` has made one.

    Raises:
        UsageError: A setting is wrong; one detail line each.
    """
    environ = os.environ if environ is None else environ
    settings = {**_read(VERSIONS_FILE), **_read(SETTINGS_FILE)}
    settings |= {name: value for name, value in environ.items() if name.startswith("CVAT_") and value}
    for ours in SECRETS - {PASSWORD_KEY}:
        settings.pop(ours, None)  # no business of docker's
    project = environ.get("COMPOSE_PROJECT_NAME") or settings.pop("COMPOSE_PROJECT_NAME", "") or "cvat"
    problems = list(_problems(project, settings))
    if problems:
        raise UsageError("the settings of the stack are wrong (environment or config/cvat.env)", problems)
    return Stack(project, settings)


def _read(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    if not path.exists():
        return {}
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


def _problems(project: str, settings: Mapping[str, str]) -> list[str]:
    problems = []
    if not _PROJECT_NAME.fullmatch(project):
        problems.append(
            f"COMPOSE_PROJECT_NAME must be small letters, digits, - and _, starting with no sign; found {project}"
        )
    port = settings.get("CVAT_PORT") or "8080"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        problems.append(f"CVAT_PORT must be a number from 1 to 65535, found {port}")
    workers = settings.get("CVAT_WORKERS") or "2"
    if not (workers.isascii() and workers.isdigit() and int(workers) > 0):
        problems.append(f"CVAT_WORKERS must be a number above 0, found {workers}")
    # These two, with the hosts, are put into the configuration of the front door's nginx.
    bind = settings.get("CVAT_BIND") or LOOPBACK[0]
    if bind not in LOOPBACK and not _is_address(bind):
        problems.append(f"CVAT_BIND must be an address of this machine, as 127.0.0.1 or 0.0.0.0; found {bind}")
    if (sign_up := settings.get("CVAT_SIGN_UP") or "closed") not in ("open", "closed"):
        problems.append(f"CVAT_SIGN_UP must be open or closed, found {sign_up}")
    for host in _listed(settings.get("CVAT_HOSTS", "")):
        if not _HOST_NAME.fullmatch(host) and not _is_address(host):
            problems.append(
                "CVAT_HOSTS must be host names without scheme and port, with commas between them, "
                f"as cvat.example.com,*.example.org,192.168.1.5; found {host}"
            )
    if settings.get(PASSWORD_KEY, "unset").lower() in _NO_SUCH_PASSWORDS:
        problems.append(f"{PASSWORD_KEY} is a sample password: remove the line, and `make up` makes a random one")
    return problems


def _listed(text: str) -> list[str]:
    return [one for one in re.split(r"[, ]+", text) if one]


def _is_address(text: str) -> bool:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return "%" not in bare and (bare == text or ":" in bare)


def recorded_version() -> str | None:
    """Return the version of CVAT that the data are of, as ``config/cvat.env`` keeps it."""
    return _read(SETTINGS_FILE).get(VERSION_KEY)


def tested_version() -> str:
    """Return the newest version of CVAT that this toolkit was tested with, which is the one it starts."""
    return _read(VERSIONS_FILE)[VERSION_KEY]


def oldest_tested_version() -> str:
    """Return the oldest version of CVAT that this toolkit was tested with."""
    return _read(VERSIONS_FILE)["CVAT_OLDEST_VERSION"]


def keep_settings(stack: Stack) -> Stack:
    """Keep the database password, the version and the volumes in use in ``config/cvat.env``.

    The file is made from its example at first, and is readable by its owner alone.

    Args:
        stack: The stack that is about to start or was moved to other volumes.

    Returns:
        The stack with its database password.

    Raises:
        ToolkitError: The file cannot be written.
    """
    password = stack.settings.get(PASSWORD_KEY) or secrets.token_urlsafe(24)
    if not SETTINGS_FILE.exists():
        _create_settings_file()
    if SETTINGS_FILE.stat().st_mode & 0o077:
        SETTINGS_FILE.chmod(0o600)
    set_kept(PASSWORD_KEY, password)
    set_kept(VERSION_KEY, stack.version)
    set_kept(VOLUMES_KEY, stack.volumes_suffix)
    return stack.with_settings(**{PASSWORD_KEY: password})


def set_kept(key: str, value: str) -> None:
    """Set one value in ``config/cvat.env``, or remove it when it is empty."""
    import dotenv

    kept = _read(SETTINGS_FILE).get(key, "")
    if kept == value:
        return
    try:
        if value:
            dotenv.set_key(SETTINGS_FILE, key, value, quote_mode="never")
        else:
            dotenv.unset_key(SETTINGS_FILE, key)
    except OSError as error:
        raise ToolkitError(f"cannot write {SETTINGS_FILE}: {error.strerror}") from error


def _create_settings_file() -> None:
    example = ROOT / "config" / "cvat.env.example"
    beside = SETTINGS_FILE.with_name(f".cvat.env.{os.getpid()}")
    try:
        beside.touch(mode=0o600, exist_ok=False)
        kept = "\n# Kept by the scripts; the volumes of the database can be opened with this password only.\n"
        beside.write_text((example.read_text() if example.exists() else "") + kept)
        beside.replace(SETTINGS_FILE)
    except OSError as error:
        raise ToolkitError(f"cannot write {SETTINGS_FILE}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
