"""As much of django.contrib.auth as setting a password takes, on the stand-in's store."""

from pathlib import Path

from standin.data.accounts import Accounts
from standin.data.store import Store


class User:
    def __init__(self, username):
        self.username = username

    def set_password(self, password):
        self.password = password

    def save(self):
        assert Accounts(Store(Path("/home/django/data"))).set_password(self.username, self.password)


class Users:
    def get(self, username):
        return User(username)


def get_user_model():
    return type("UserModel", (), {"objects": Users()})
