"""The local CVAT: its Compose project, its settings, and where it is found.

A setting comes from the environment, else from ``config/cvat.env``, else from ``compose/versions.env``. The environment
variable ``CVAT_SETTINGS_FILE`` names another file in the place of the second.

What the scripts save there (password, version, volumes) belongs to one project: the first that was started. Another one
has it in a file of its own beside, ``config/cvat-<project>.env``, which may hold any other setting as well.
"""

import io
import ipaddress
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import try_lock, write_atomically
from toolkit.core.secrets import SECRETS, without_secrets

ROOT = Path(__file__).resolve().parents[3]
COMPOSE_FILE = ROOT / "compose" / "compose.yml"
VERSIONS_FILE = ROOT / "compose" / "versions.env"
LOCK_FILE = ROOT / "config" / "cvat.lock"
"""The digests of the images that were pulled, by name and tag."""
SETTINGS_FILE = Path(os.environ.get("CVAT_SETTINGS_FILE") or ROOT / "config" / "cvat.env")

PASSWORD_KEY = "CVAT_POSTGRES_PASSWORD"
VERSION_KEY = "CVAT_VERSION"
VOLUMES_KEY = "CVAT_VOLUMES"
REPLACED_KEY = "CVAT_REPLACED_VOLUMES"
"""The database volumes of the sets that restores have replaced, with commas between them."""
NAMESPACE_KEY = "CVAT_KUBERNETES"
PROJECT_KEY = "CVAT_SETTINGS_OF"
"""The project that the saved values of a settings file belong to."""
SAVED_KEYS = (PASSWORD_KEY, VERSION_KEY, VOLUMES_KEY, REPLACED_KEY, PROJECT_KEY)

SERVICES = ("cvat_db", "cvat_redis_inmem", "cvat_redis_ondisk", "cvat_opa", "cvat_server", "cvat_worker", "cvat_ui")
VOLUMES = ("cvat_db", "cvat_data", "cvat_keys", "cvat_logs", "cvat_inmem_db", "cvat_cache_db")

FOUNDATION = {service: f"{service.upper()}_IMAGE" for service in SERVICES[:4]}
"""The settings that name the images of what CVAT stands on, by service."""

# Where this machine asks, by what CVAT is published on. To many machines localhost is 127.0.0.1 and not ::1.
_ASKED_AT = {"127.0.0.1": "localhost", "0.0.0.0": "localhost", "[::]": "[::1]"}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$)(?:\*\.)?(?:{_LABEL}\.)*{_LABEL}", re.ASCII | re.IGNORECASE)
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NO_SUCH_PASSWORDS = {"", "password", "postgres", "cvat", "root", "admin", "secret", "changeme", "change-me", "example"}


@dataclass(frozen=True)
class Stack:
    """One Compose project that runs CVAT.

    ``settings`` has every setting by its name, as the compose file takes them; the values may be secret. ``digests``
    are those of images by name and tag; the other images are started by their tag.
    """

    project: str
    settings: Mapping[str, str] = field(repr=False)
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The port of this machine on which CVAT is published."""
        return int(self.settings.get("CVAT_PORT") or 8080)

    @property
    def bind(self) -> str:
        """The address of this machine on which CVAT is published; IPv6 in brackets."""
        return self.settings.get("CVAT_BIND") or "127.0.0.1"

    @property
    def namespace(self) -> str | None:
        """The namespace of a CVAT on Kubernetes that the commands are for, None for the one on this machine."""
        return self.settings.get(NAMESPACE_KEY) or None

    @property
    def version(self) -> str:
        """The tag of CVAT's images."""
        return self.settings[VERSION_KEY]

    @property
    def volumes_suffix(self) -> str:
        """What the names of the volumes in use end with; empty at first."""
        return self.settings.get(VOLUMES_KEY) or ""

    @property
    def replaced_databases(self) -> list[str]:
        """The database volumes of the sets that restores have replaced."""
        return _listed(self.settings.get(REPLACED_KEY, ""))

    @property
    def url(self) -> str:
        """The address at which programs of this machine reach CVAT."""
        return f"http://{_ASKED_AT.get(self.bind, self.bind)}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether only this machine reaches CVAT."""
        return self.bind in ("127.0.0.1", "[::1]")

    @property
    def hosts(self) -> list[str]:
        """The names and addresses of its own at which the front door answers, beside those of this machine alone."""
        return _listed(self.settings.get("CVAT_HOSTS", ""))

    def volume(self, name: str, suffix: str | None = None) -> str:
        """Return the engine's name of one of the volumes in :data:`VOLUMES`, of those in use or of another set."""
        return f"{self.project}_{name}{self.volumes_suffix if suffix is None else suffix}"

    def image(self, service: str) -> str:
        """Return the image that a service runs, with its digest if that is known."""
        image = self.settings[f"{_image_name(service)}_IMAGE"]
        image = f"{image}:{self.version}" if service in ("cvat_server", "cvat_worker", "cvat_ui") else image
        return f"{image}@{self.digests[image]}" if image in self.digests else image

    def with_settings(self, project: str | None = None, **settings: str) -> "Stack":
        """Return the same stack with another project name or other settings."""
        return replace(self, project=project or self.project, settings={**self.settings, **settings})

    def environment(self) -> dict[str, str]:
        """Return the environment of a compose call: of all secrets it gets the database's password alone."""
        outside = {name: value for name, value in without_secrets().items() if not name.startswith("COMPOSE_")}
        digests = {f"{_image_name(service)}_DIGEST": _digest(self, service) for service in SERVICES}
        return {**outside, **self.settings, **digests, "COMPOSE_PROJECT_NAME": self.project}


def _image_name(service: str) -> str:
    return service.replace("worker", "server").upper()  # two services of one image


def _digest(stack: Stack, service: str) -> str:
    """Return what the compose file adds to the name and tag of a service's image."""
    image = stack.image(service)
    pinned = replace(stack, digests={}).image(service)
    return image.removeprefix(pinned)


def locked_digests() -> dict[str, str]:
    """Return the digests of the images that were pulled, by name and tag.

    Raises ToolkitError where :data:`LOCK_FILE` cannot be read, or holds something else.
    """
    try:
        known = json.loads(LOCK_FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or not all(
        isinstance(digest, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in known.values()
    ):
        raise ToolkitError(f"{LOCK_FILE} is not as `make pull` writes it: remove it, and the next pull makes it again")
    return known


def find_stack(environ: Mapping[str, str] | None = None) -> Stack:
    """Read the settings of the local stack; empty values of the environment count as not set.

    The database password is missing from them until :func:`save_settings` has made one. Raises UsageError where
    settings are wrong, with one detail line each.
    """
    environ = os.environ if environ is None else environ
    common = _read(SETTINGS_FILE)
    project = environ.get("COMPOSE_PROJECT_NAME") or common.get("COMPOSE_PROJECT_NAME") or "cvat"
    own = settings_file(project)
    if own != SETTINGS_FILE:
        common = {name: value for name, value in common.items() if name not in SAVED_KEYS} | _read(own)
    settings = {**_read(VERSIONS_FILE), **common}
    settings |= {name: value for name, value in environ.items() if name.startswith("CVAT_") and value}
    for ours in (*(SECRETS - {PASSWORD_KEY}), "COMPOSE_PROJECT_NAME", PROJECT_KEY):
        settings.pop(ours, None)  # no business of docker's
    problems = list(_problems(project, settings))
    if problems:
        raise UsageError("the settings of the stack are wrong (environment or config/cvat.env)", problems)
    return Stack(project, _with_one_spelling(settings), locked_digests())


def settings_file(project: str) -> Path:
    """Return the file that holds, or is to hold, what is saved for a project.

    An older toolkit's file does not say whose it is: it serves every project that has none of its own, until one saves.
    """
    own = SETTINGS_FILE.with_name(f"{SETTINGS_FILE.stem}-{project}{SETTINGS_FILE.suffix}")
    belongs_to = _read(SETTINGS_FILE).get(PROJECT_KEY)
    return SETTINGS_FILE if belongs_to in (None, project) and not own.exists() else own


def common_settings() -> dict[str, str]:
    """Return what ``config/cvat.env`` holds, whichever project it belongs to."""
    return _read(SETTINGS_FILE)


def _read(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    values = dotenv_values(stream=io.StringIO(_text_of(path)), interpolate=False)
    return {name: value for name, value in values.items() if value}


def _text_of(path: Path) -> str:
    """Read a settings file that this user or the toolkit's owner has written; a missing one is empty."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would have us wait for ever
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    with os.fdopen(descriptor, encoding="utf-8", newline="") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise UsageError(f"{path} is not a regular file: the settings are not read from it")
        if state.st_uid not in (0, os.geteuid(), ROOT.stat().st_uid):
            raise UsageError(f"{path} belongs to another user: its settings are not trusted; remove or own it")
        try:
            return file.read()
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not text in UTF-8") from error


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
    bind = settings.get("CVAT_BIND")
    if bind and not _bind_address(bind):
        problems.append(f"CVAT_BIND must be an address of this machine, as 127.0.0.1, 0.0.0.0 or ::1; found {bind}")
    if (sign_up := settings.get("CVAT_SIGN_UP") or "closed") not in ("open", "closed"):
        problems.append(f"CVAT_SIGN_UP must be open or closed, found {sign_up}")
    for host in _listed(settings.get("CVAT_HOSTS", "")):
        if not _HOST_NAME.fullmatch(host.removesuffix(".")) and not _address(host):
            problems.append(
                "CVAT_HOSTS must be host names without scheme and port, with commas between them, "
                f"as cvat.example.com,*.example.org,192.168.1.5; found {host}"
            )
    namespace = settings.get(NAMESPACE_KEY)
    if namespace and not _NAMESPACE.fullmatch(namespace):
        problems.append(f"{NAMESPACE_KEY} must be the name of a namespace, as cvat; found {namespace}")
    if quoted(settings.get(PASSWORD_KEY, "")) is None:
        problems.append(
            f"{PASSWORD_KEY} cannot be kept in a settings file: it has bytes that are no UTF-8, or a $ together "
            "with a line break or a backslash that ends it, is doubled or stands before a quote: choose another"
        )
    if settings.get(PASSWORD_KEY, "unset").lower() in _NO_SUCH_PASSWORDS:
        problems.append(f"{PASSWORD_KEY} is a sample password: remove the line, and `make up` makes a random one")
    return problems


def _listed(text: str) -> list[str]:
    return [one for one in re.split(r"[, ]+", text) if one]


def _with_one_spelling(settings: Mapping[str, str]) -> dict[str, str]:
    """Write what people type as Compose takes it and the front door compares it."""
    bind = _bind_address(settings.get("CVAT_BIND", ""))
    hosts = [_address(host) or host.removesuffix(".") for host in _listed(settings.get("CVAT_HOSTS", ""))]
    spelled = {"CVAT_BIND": bind, "CVAT_HOSTS": ",".join(hosts)}
    return {**settings, **{name: value for name, value in spelled.items() if value}}


def _bind_address(text: str) -> str | None:
    return "127.0.0.1" if text == "localhost" else _address(text)


def _address(text: str) -> str | None:
    """Return an address as browsers write it, IPv6 in brackets; None where the text is none."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return text if bare == text else None
    return None if address.scope_id else f"[{address}]"


def recorded_version(project: str) -> str | None:
    """Return the version of CVAT that a project's data are of, as its settings file has it."""
    return _read(settings_file(project)).get(VERSION_KEY)


def tested_version() -> str:
    """Return the newest version of CVAT that this toolkit was tested with, which is the one it starts."""
    return _read(VERSIONS_FILE)[VERSION_KEY]


def tested_versions() -> list[str]:
    """Return all versions of CVAT that this toolkit was tested with, the one that it starts among them."""
    return [*_read(VERSIONS_FILE)["CVAT_TESTED_VERSIONS"].split(","), tested_version()]


def save_settings(stack: Stack) -> Stack:
    """Save the database password, the version and the volumes in use in the project's settings file.

    The file is readable by its owner alone; ``config/cvat.env`` is made from its example at first. The stack that is
    returned has its database password. Raises ToolkitError where the file cannot be written.
    """
    password = stack.settings.get(PASSWORD_KEY) or secrets.token_urlsafe(24)
    values = {
        PROJECT_KEY: stack.project,
        PASSWORD_KEY: password,
        VERSION_KEY: stack.version,
        VOLUMES_KEY: stack.volumes_suffix,
        REPLACED_KEY: stack.settings.get(REPLACED_KEY, ""),
    }
    save_values(stack.project, values)
    return stack.with_settings(**{PASSWORD_KEY: password})


def save_values(project: str, values: Mapping[str, str]) -> None:
    """Set values in a project's settings file, all or none; empty ones are removed.

    Raises ToolkitError where the file cannot be written.
    """
    try:
        file = settings_file(project)
        if file.exists() and file.stat().st_mode & 0o077:
            file.chmod(0o600)
        if all(_read(file).get(key, "") == value for key, value in values.items()):
            return
        with _writers_excluded():
            file = settings_file(project)  # two projects may both have been the first
            text = _text_of(file) if file.exists() else _first_text(file)
            write_atomically(file, with_values(text, values), is_private=True)
    except OSError as error:
        raise ToolkitError(f"cannot write {file}: {error.strerror}") from error


@contextmanager
def _writers_excluded() -> Iterator[None]:
    """Let one process at a time decide which project a file belongs to; it takes no time."""
    path = SETTINGS_FILE.with_name(f".{SETTINGS_FILE.name}.lock")
    while True:
        try:
            with try_lock(path):
                yield
                return
        except BlockingIOError:
            time.sleep(0.02)


def _first_text(file: Path) -> str:
    if file != SETTINGS_FILE:
        return f"# Made by the scripts; what is set here wins over {SETTINGS_FILE.name}.\n"
    example = ROOT / "config" / "cvat.env.example"
    kept = "\n# Kept by the scripts; the volumes of the database can be opened with this password only.\n"
    return (example.read_text(encoding="utf-8") if example.exists() else "") + kept


def with_values(text: str, values: Mapping[str, str]) -> str:
    """Set values in the text of an env file; empty ones are removed, all else stays as it is.

    Raises UsageError where a value cannot be written so that every program reads it alike.
    """
    from dotenv.parser import parse_stream

    left = {key: value for key, value in values.items() if value}
    lines = []
    for binding in parse_stream(io.StringIO(text, newline="")):
        if binding.key not in values:
            lines.append(binding.original.string)
        elif binding.key in left:
            lines.append(_line(binding.key, left.pop(binding.key)))
    whole = "".join(lines)
    return whole + ("\n" if whole and not whole.endswith("\n") else "") + "".join(_line(*one) for one in left.items())


def _line(key: str, value: str) -> str:
    written = quoted(value)
    if written is None:
        raise UsageError(f"the value of {key} cannot be kept in an env file")
    return f"{key}={written}\n"


_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_NO_QUOTES_NEEDED = re.compile(r"[\w./:@%+,=-]*", re.ASCII)


def quoted(value: str) -> str | None:
    """Write a value so that python-dotenv, docker compose and a person read it alike; None if there is no such way.

    Single quotes keep a dollar sign, but the programs differ in backslashes there; in double quotes it is the other way
    round.
    """
    if _NO_QUOTES_NEEDED.fullmatch(value):
        return value
    if any(character == "\0" or 0xD800 <= ord(character) < 0xE000 for character in value):
        return None
    if not re.search(r"\\(?:\\|'|$)|['\r\n]", value):
        return f"'{value}'"
    if "$" not in value:
        return '"' + value.translate(_ESCAPED) + '"'
    if not re.search(r"\\(?:\\|'|$)|[\r\n]", value):
        return "'" + value.replace("'", "\\'") + "'"
    return None
