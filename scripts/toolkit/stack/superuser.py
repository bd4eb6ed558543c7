"""The administrator of a CVAT, made inside its server's container."""

import re
from collections.abc import Callable, Sequence

from toolkit.core.errors import ToolkitError, UsageError

Execute = Callable[[Sequence[str], dict[str, str]], tuple[int, str]]
"""Runs a command with more variables, for its exit code and its output."""

SHORTEST_PASSWORD = 8
LONGEST_USERNAME = 150

# What guides and samples use, besides the commonest of all passwords of eight signs and more.
_KNOWN_PASSWORDS = """
password password1 password12 password123 passw0rd p@ssw0rd p@ssword letmein1 changeme changeme1 changeme123
change-me change_me administrator admin123 admin1234 adminadmin cvatcvat cvat1234 superuser supersecret
secret123 mysecret qwertyui qwertyuiop qwerty123 1q2w3e4r 1qaz2wsx zaq12wsx abc12345 abcd1234 iloveyou sunshine
princess football baseball welcome1 welcome123 trustno1 whatever starwars dragon12 monkey12 examplepassword
example-password your-password yourpassword your_password
"""

_CREATE = ("python3", "manage.py", "createsuperuser", "--noinput")
_RESET = (
    "python3",
    "manage.py",
    "shell",
    "-c",
    "import os\n"
    "from django.contrib.auth import get_user_model\n"
    "user = get_user_model().objects.get(username=os.environ['DJANGO_SUPERUSER_USERNAME'])\n"
    "user.set_password(os.environ['DJANGO_SUPERUSER_PASSWORD'])\n"
    "user.is_superuser = user.is_staff = user.is_active = True\n"
    "user.save()\n",
)


def check_account(username: str, password: str) -> None:
    """Refuse a user name that CVAT would not take and a password that is no secret.

    CVAT judges no password that is set from inside its container, so it is done here. A name has letters, digits and
    ``@ . + - _``; a password at least eight signs, and is no number, no known sample and not the user name. The
    UsageError has one detail line each, never the password itself.
    """
    problems = []
    if not re.fullmatch(r"[\w.@+-]+", username) or len(username) > LONGEST_USERNAME:
        problems.append("the user name must consist of letters, digits and @ . + - _, 150 at most")
    lowered = password.lower()
    if len(password) < SHORTEST_PASSWORD:
        problems.append(f"the password must have {SHORTEST_PASSWORD} signs or more, found {len(password)}")
    elif password.isdigit():
        problems.append("the password must not be a number")
    elif lowered in _KNOWN_PASSWORDS.split() or len(set(password)) < 4:
        problems.append("the password is one that everybody tries first")
    elif username.lower() in lowered and len(password) - len(username) < 6:
        problems.append("the password is too like the user name")
    if problems:
        raise UsageError("this superuser is not safe to make", problems)


def create_superuser(execute: Execute, username: str, password: str, email: str, reset: bool = False) -> str:
    """Make the superuser, or give an existing one the password when asked to.

    Args:
        execute: Runs a command with an environment in the server's container.
        username: The user name.
        password: The password; handed over in the environment of the command inside the container.
        email: The e-mail address.
        reset: Set the password of a user that exists already.

    Returns:
        ``created``, ``exists`` (and nothing was changed) or ``reset``.

    Raises:
        UsageError: See :func:`check_account`.
        ToolkitError: The server does not run or its command failed.
    """
    check_account(username, password)
    environment = {
        "DJANGO_SUPERUSER_USERNAME": username,
        "DJANGO_SUPERUSER_PASSWORD": password,
        "DJANGO_SUPERUSER_EMAIL": email,
    }
    code, output = execute(_CREATE, environment)
    if code == 0:
        return "created"
    if "already taken" not in output:
        raise ToolkitError(
            "the superuser could not be made (the logs of the server say more)", _last_line(output, password)
        )
    if not reset:
        return "exists"
    code, output = execute(_RESET, environment)
    if code:
        raise ToolkitError("the password could not be reset", _last_line(output, password))
    return "reset"


def _last_line(output: str, password: str) -> list[str]:
    lines = [line.strip() for line in output.replace(password, "***").splitlines() if line.strip()]
    return lines[-1:]


def email_of(username: str) -> str:
    """Return an address for a superuser who gave none; Django wants one and nothing is sent to it."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '', username).strip('.-') or 'admin'}@localhost"
