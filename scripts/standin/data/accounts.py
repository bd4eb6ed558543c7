"""Users of the stand-in, their passwords, tokens and sessions."""

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

from standin.data.store import Row, Store, new_key, now, timestamp

SESSION_LENGTH = timedelta(days=14)

# A laptop checks a password of this cost in about 10 ms; the demo signs in at every cvat-cli call.
_SCRYPT = {"n": 2**12, "r": 8, "p": 1}


class UsernameTakenError(Exception):
    """There is a user of this name already."""


def _hash(password: str, salt: bytes) -> str:
    digest = hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, dklen=32, **_SCRYPT)
    return f"{base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Accounts:
    """The users in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, username: str, password: str, email: str = "") -> int:
        """Add a user and return the id.

        Raises:
            UsernameTakenError: There is one of this name.
        """
        with self._store.transaction():
            if self._store.one("SELECT id FROM users WHERE username = ?", username):
                raise UsernameTakenError(username)
            password_hash = _hash(password, secrets.token_bytes(16))
            return self._store.insert(
                "users", username=username, password=password_hash, email=email, date_joined=now()
            )

    def set_password(self, username: str, password: str) -> bool:
        """Give a user another password; sessions end, tokens stay. Tell whether there is such a user."""
        with self._store.transaction() as connection:
            user = self._store.one("SELECT id FROM users WHERE username = ?", username)
            if user is None:
                return False
            self._store.update("users", user["id"], password=_hash(password, secrets.token_bytes(16)))
            connection.execute("DELETE FROM sessions WHERE user_id = ?", (user["id"],))
        return True

    def get(self, user_id: int) -> Row | None:
        """Return the user of an id."""
        return self._store.one("SELECT * FROM users WHERE id = ?", user_id)

    def with_password(self, username: str, password: str) -> Row | None:
        """Return the user whom the password fits."""
        user = self._store.one("SELECT * FROM users WHERE username = ?", username)
        salt = base64.b64decode(user["password"].partition("$")[0]) if user else b"nobody"
        given = _hash(password, salt)
        return user if user and hmac.compare_digest(given, user["password"]) else None

    def with_login_token(self, key: str) -> Row | None:
        """Return the user of a login token."""
        return self._store.one("SELECT users.* FROM users JOIN login_tokens ON user_id = users.id WHERE key = ?", key)

    def login_token(self, user: Row) -> str:
        """Return a user's login token; there is one for each user, as with Django's."""
        with self._store.transaction() as connection:
            connection.execute("UPDATE users SET last_login = ? WHERE id = ?", (now(), user["id"]))
            key = self._store.value("SELECT key FROM login_tokens WHERE user_id = ?", user["id"])
            if key is None:
                key = new_key()
                self._store.insert("login_tokens", key=key, user_id=user["id"])
            return str(key)

    def open_session(self, user: Row) -> str:
        """Start a browser session and return its key."""
        key = new_key(16)
        expiry = timestamp(datetime.now(UTC) + SESSION_LENGTH)
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE expiry < ?", (now(),))
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(key), user["id"], expiry))
        return key

    def with_session(self, key: str) -> Row | None:
        """Return the user of a session that has not ended."""
        return self._store.one(
            "SELECT users.* FROM users JOIN sessions ON user_id = users.id WHERE key = ? AND expiry > ?",
            _digest(key),
            now(),
        )

    def close_session(self, key: str) -> None:
        """End a session."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE key = ?", (_digest(key),))

    def close_login_token(self, user: Row) -> None:
        """Make a user's login token worthless; the next login gives another."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM login_tokens WHERE user_id = ?", (user["id"],))

    def add_access_token(self, user: Row, name: str, expiry: str | None, read_only: bool) -> tuple[int, str]:
        """Make a personal access token; return its id and its value, which is shown this once."""
        value = secrets.token_urlsafe(32)
        token_id = self._store.insert(
            "access_tokens",
            user_id=user["id"],
            name=name,
            digest=_digest(value),
            created=now(),
            updated=now(),
            expiry=expiry,
            read_only=int(read_only),
        )
        return token_id, value

    def with_access_token(self, value: str) -> Row | None:
        """Return the personal access token of a value that is not past its expiry, and note its use."""
        token = self._store.one(
            "SELECT * FROM access_tokens WHERE digest = ? AND (expiry IS NULL OR expiry > ?)", _digest(value), now()
        )
        if token is not None:
            self._store.update("access_tokens", token["id"], last_used=now())
        return token
