"""Signing in, with password, token and session."""

from datetime import UTC, datetime, timedelta

from urllib3 import make_headers

from tests.support.cvat_under_test import CvatUnderTest

WRONG = "not-the-password-1"


def test_password_gives_a_token(cvat: CvatUnderTest, password: str) -> None:
    response = cvat.http("POST", "/api/auth/login", json={"username": cvat.username, "password": password})
    assert response.status == 200
    headers = {"Authorization": f"Token {response.json()['key']}"}
    user = cvat.http("GET", "/api/users/self", headers=headers).json()
    assert user["username"] == cvat.username


def test_wrong_password_is_refused(cvat: CvatUnderTest, password: str) -> None:
    done = cvat.run("task", "ls", password=WRONG)
    assert done.returncode == 1
    assert '{"non_field_errors":["Unable to log in with provided credentials."]}' in done.stderr
    assert WRONG not in done.stderr


def test_wrong_password_with_basic_is_refused_everywhere(cvat: CvatUnderTest, password: str) -> None:
    headers = make_headers(basic_auth=f"{cvat.username}:{WRONG}")
    assert cvat.http("GET", "/api/server/about", headers=headers).status == 401


def test_basic_signs_in(cvat: CvatUnderTest, password: str) -> None:
    headers = make_headers(basic_auth=f"{cvat.username}:{password}")
    assert cvat.http("GET", "/api/users/self", headers=headers).json()["username"] == cvat.username


def test_access_token_serves_until_it_is_deleted(cvat: CvatUnderTest, password: str) -> None:
    key = cvat.http("POST", "/api/auth/login", json={"username": cvat.username, "password": password}).json()["key"]
    owner = {"Authorization": f"Token {key}"}
    expiry = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = cvat.http(
        "POST",
        "/api/auth/access_tokens",
        headers=owner,
        json={"name": cvat.unique("token"), "expiry_date": expiry, "read_only": False},
    )
    assert made.status == 201
    token = made.json()
    try:
        assert token["owner"]["username"] == cvat.username
        assert datetime.fromisoformat(token["expiry_date"]) > datetime.now(UTC)
        bearer = {"Authorization": f"Bearer {token['value']}"}
        assert cvat.http("GET", "/api/users/self", headers=bearer).json()["username"] == cvat.username
    finally:
        deleted = cvat.http("DELETE", f"/api/auth/access_tokens/{token['id']}", headers=owner)
    assert deleted.status == 204
    assert cvat.http("GET", "/api/users/self", headers=bearer).status == 401


def test_a_foreign_site_may_sign_in_without_cookies_by_version(each_cvat: CvatUnderTest, password: str) -> None:
    body = {"username": each_cvat.username, "password": each_cvat.password or password}
    headers = {"Origin": "http://elsewhere.example"}
    response = each_cvat.http("POST", "/api/auth/login", headers=headers, json=body)
    if each_cvat.version >= (2, 73):
        assert response.status == 200
    elif each_cvat.version == (2, 54):
        assert response.status == 403
        assert "Origin checking failed" in response.data.decode()


def test_a_foreign_site_cannot_sign_in_with_a_session(cvat: CvatUnderTest, password: str) -> None:
    with cvat.client(by_password=True) as client:
        headers = cvat.signed_in(client) | {"Origin": "http://elsewhere.example"}
        headers.pop("Authorization", None)
        body = {"username": cvat.username, "password": password}
        response = cvat.http("POST", "/api/auth/login", headers=headers, json=body)
    assert response.status == 403
    assert "CSRF Failed: Origin checking failed" in response.data.decode()


def test_a_foreign_site_cannot_post_with_a_session(cvat: CvatUnderTest, password: str) -> None:
    with cvat.client(by_password=True) as client:
        headers = cvat.signed_in(client) | {"Origin": "http://elsewhere.example"}
        response = cvat.http("POST", "/api/projects", headers=headers, json={"name": cvat.unique("foreign")})
    if response.status == 201:
        cvat.delete_later("project", response.json()["id"])
    assert response.status == 403
    assert (
        "Origin checking failed - http://elsewhere.example does not match any trusted origins."
        in response.data.decode()
    )
