"""``manage.py shell -c CODE``, as far as code about users goes.

Tools that look after a CVAT in a container run Python inside its Django to reset a password. The same code runs here,
against a ``django.contrib.auth`` that knows the stand-in's users.
"""

import sys
from pathlib import Path
from types import ModuleType

from standin.accounts import Accounts
from standin.store import Store


class DoesNotExist(Exception):
    """No user matches."""


class _User:
    def __init__(self, store: Store, username: str) -> None:
        self._store = store
        self._password: str | None = None
        self.username = username
        self.is_superuser = self.is_staff = self.is_active = True

    def set_password(self, password: str) -> None:
        self._password = password

    def save(self) -> None:
        if self._password is not None:
            Accounts(self._store).set_password(self.username, self._password)


class _Users:
    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, username: str) -> _User:
        if self.count(username) == 0:
            raise DoesNotExist("User matching query does not exist.")
        return _User(self._store, username)

    def count(self, username: str | None = None) -> int:
        rows = self._store.all("SELECT username FROM users")
        return sum(username in (None, row["username"]) for row in rows)


def run(folder: Path, code: str) -> None:
    """Run code that asks ``django.contrib.auth.get_user_model()`` for users and sets their passwords.

    Args:
        folder: The data directory.
        code: Python source.

    Raises:
        Exception: Whatever the code raises.
    """
    store = Store(folder)
    model = type("User", (), {"objects": _Users(store), "DoesNotExist": DoesNotExist})
    auth = ModuleType("django.contrib.auth")
    auth.__dict__["get_user_model"] = lambda: model
    sys.modules.update({name: ModuleType(name) for name in ("django", "django.contrib")})
    sys.modules["django.contrib.auth"] = auth
    try:
        exec(compile(code, "<shell>", "exec"), {"__name__": "__main__"})
    finally:
        store.close()
