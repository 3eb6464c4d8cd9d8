import pytest

from cloud.people.model import PERMITTED, Role
from tests.cloud.people.conftest import PASSWORD, TestClient


def sign_in(client: TestClient, name: str) -> None:
    answer = client.post("/api/session", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: TestClient) -> None:
    answer = client.post("/api/session", json={"username": "a-duty", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie


def test_the_cookie_is_secure_behind_https(client: TestClient) -> None:
    answer = client.post(
        "https://linli.test/api/session", json={"username": "a-duty", "password": PASSWORD}
    )
    assert "secure" in answer.headers["set-cookie"].lower()


def test_in_and_out(client: TestClient) -> None:
    assert client.get("/api/session").status_code == 401
    sign_in(client, "a-duty")
    assert client.get("/api/session").json()["role"] == "duty"
    assert client.delete("/api/session").status_code == 204
    assert client.get("/api/session").json()["code"] == "not_signed_in"


def test_a_refusal_does_not_tell_whether_the_name_exists(client: TestClient) -> None:
    wrong, nobody = (
        client.post("/api/session", json={"username": name, "password": "wrong password"})
        for name in ("a-duty", "nobody")
    )
    assert (wrong.status_code, wrong.json()) == (nobody.status_code, nobody.json())
    assert set(wrong.json()) == {"code", "message", "hint"}


@pytest.mark.parametrize("role", list(Role))
def test_only_administrators_see_users(client: TestClient, role: Role) -> None:
    sign_in(client, f"a-{role.value}")
    expected = 200 if role in PERMITTED[Role.ADMIN] else 403
    assert client.get("/api/users").status_code == expected
    assert client.get("/api/audit").status_code == expected


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 204),
        ({"origin": "http://linli.test"}, 204),
        ({}, 204),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://linli.test:81"}, 403),
    ],
)
def test_another_site_cannot_send_commands(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    sign_in(client, "a-duty")
    assert client.delete("/api/session", headers=headers).status_code == status


def test_a_reading_token_reads_only(client: TestClient) -> None:
    sign_in(client, "a-admin")
    made = client.post("/api/tokens", json={"name": "wall", "scope": "read"}).json()
    client.cookies.clear()
    bearer = {"authorization": f"Bearer {made['secret']}"}
    assert client.get("/api/users", headers=bearer).status_code == 200
    refused = client.post(
        "/api/users", json={"username": "x", "name": "x", "role": "duty"}, headers=bearer
    )
    assert refused.status_code == 403
    assert client.get("/api/users", headers={"authorization": "Bearer linli_x"}).status_code == 401


def test_a_new_person_gets_a_password_once(client: TestClient) -> None:
    sign_in(client, "a-admin")
    added = client.post("/api/users", json={"username": "li", "name": "李", "role": "duty"})
    assert added.status_code == 201
    password = added.json()["password"]
    assert password not in client.get("/api/users").text
    user_id = added.json()["user"]["id"]
    assert (
        client.patch(f"/api/users/{user_id}", json={"is_enabled": False}).json()["is_enabled"]
        is False
    )
    again = client.post(f"/api/users/{user_id}/password", json={})
    assert again.json()["password"] not in {None, password}


def test_a_changed_password_rotates_the_cookie(client: TestClient) -> None:
    sign_in(client, "a-duty")
    before = client.cookies["linli_session"]
    body = {"old": PASSWORD, "new": "another quiet river"}
    assert client.post("/api/session/password", json=body).status_code == 200
    assert client.cookies["linli_session"] != before
    assert client.get("/api/session").status_code == 200


def test_the_audit_tells_who_did_what(client: TestClient) -> None:
    sign_in(client, "a-admin")
    client.post("/api/users", json={"username": "li", "name": "李", "role": "duty"})
    page = client.get("/api/audit", params={"limit": 1}).json()
    assert page["entries"][0]["action"] == "user_created"
    assert page["entries"][0]["actor"] == "a-admin"
    older = client.get("/api/audit", params={"limit": 500, "before": page["next"]}).json()
    assert older["next"] is None
    assert "sign_in" in {entry["action"] for entry in older["entries"]}


def test_mistakes_are_told_in_the_one_shape(client: TestClient) -> None:
    answer = client.post("/api/session", json={"username": "x", "pasword": "y"})
    assert answer.status_code == 422
    assert "pasword" in answer.json()["message"]
    assert client.get("/api/nothing").json()["code"] == "not_found"
    assert client.put("/api/session").json()["code"] == "method_not_allowed"


def test_a_large_body_is_refused_unread(client: TestClient) -> None:
    declared = client.post("/api/session", content=b" " * 1_048_577)
    assert declared.status_code == 413
    chunked = client.post("/api/session", content=(b" " * 65_536 for _ in range(20)))
    assert chunked.status_code == 413


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    answer = client.get("/api/session")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
