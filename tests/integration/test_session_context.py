"""The Emporix session itself, which after a login is the customer's: the guest's old id must not read it."""

import pytest

from tests.integration.visitors import calls, carrying, guest, problem, seen, set_cookies
from tests.live import ADA, TENANT, LiveProxy, Sandbox

CONTEXT = f"/api/session-context/{TENANT}/me/context"
SITES = f"/api/site/{TENANT}/sites"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_id_of_before_the_login_does_not_read_the_customers_context(
    proxy: LiveProxy, sandbox: Sandbox, method: str
) -> None:
    with guest(proxy) as browser:
        old = browser.cookies["bff"]
        assert browser.request(method, CONTEXT).status_code == 200
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert browser.request(method, CONTEXT).status_code == 200
    with carrying(proxy, old) as late:
        before = seen(sandbox)
        answer = late.request(method, CONTEXT)
        if method == "GET":
            problem(answer, 401, "session_rotated")
        assert answer.status_code == 401
        assert set_cookies(answer) == []
        assert calls(sandbox, before) == []
        assert late.request(method, SITES).status_code == 200, (
            "what is not the session itself is still served"
        )
