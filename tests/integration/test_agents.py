"""Chats with an agent through the proxy: streams that go on, and the chat's own session id."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.visitors import customer, guest, knob, problem
from tests.integration.wire import Watch
from tests.live import TENANT, LiveProxy, Sandbox, environment

AGENTIC = f"/api/ai-service/{TENANT}/agentic"
ASKED = {"agentId": "barista", "message": "Which grind for a dripper?"}
ROUTES = """[routes]
"POST /ai-service/{tenant}/agentic/chat" = "on"
"POST /ai-service/{tenant}/agentic/chat-stream" = "on"
"""


@pytest.fixture(scope="module")
def agents_process(
    sandbox_process: Sandbox, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveProxy]:
    file = tmp_path_factory.mktemp("routes") / "routes.toml"
    file.write_text(ROUTES)
    with LiveProxy(environment(sandbox_process, redis_url, BFF_ROUTES_FILE=str(file))) as proxy:
        yield proxy


@pytest.fixture
def agents(agents_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    """A proxy whose operator has opened the chats; the sandbox's knobs are put back after each test."""
    return agents_process


def streamed(client: httpx2.Client, **headers: str) -> Any:
    return client.stream("POST", f"{AGENTIC}/chat-stream", json=ASKED, headers=headers)


def events(answer: httpx2.Response) -> Iterator[dict[str, Any]]:
    """Read the data of one event after the other, as they come."""
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    yield from (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))


@pytest.mark.parametrize(("count", "pause"), [(1, 0), (40, 50)])
def test_every_event_of_a_stream_arrives(agents: LiveProxy, sandbox: Sandbox, count: int, pause: int) -> None:
    knob(sandbox, agentStreamEvents=count, agentStreamPauseMs=pause)
    with customer(agents) as browser, streamed(browser) as answer:
        *said, done = events(answer)
    assert [one["index"] for one in said] == list(range(count))
    assert uuid.UUID(done["sessionId"]).version == 4


def test_an_event_arrives_while_the_stream_goes_on(agents: LiveProxy, sandbox: Sandbox) -> None:
    knob(sandbox, agentStreamEvents=100_000, agentStreamPauseMs=20)
    with customer(agents) as browser, streamed(browser) as answer:
        coming = events(answer)
        assert [next(coming)["index"] for _ in range(3)] == [0, 1, 2]
        assert browser.get("/auth/session").json()["kind"] == "customer", "others are served meanwhile"
        assert next(coming)["index"] == 3


def test_a_chat_goes_on_by_the_id_that_it_was_given(agents: LiveProxy, sandbox: Sandbox) -> None:
    with customer(agents) as browser:
        with streamed(browser) as answer:
            *_, done = events(answer)
        again = browser.post(f"{AGENTIC}/chat", json=ASKED, headers={"session-id": done["sessionId"]})
        assert again.json()[0]["sessionId"] == done["sessionId"]
        other = browser.post(f"{AGENTIC}/chat", json=ASKED)
        assert other.json()[0]["sessionId"] != done["sessionId"]
    assert not {done["sessionId"], other.json()[0]["sessionId"]} & set(sandbox.control("GET", "/sessions"))


def test_a_customer_is_sent_with_the_saas_token_and_a_guest_is_not_sent(
    agents: LiveProxy, sandbox: Sandbox
) -> None:
    watch = Watch(sandbox)
    with guest(agents) as browser:
        problem(browser.post(f"{AGENTIC}/chat-stream", json=ASKED), 401, "login_required")
    path = f"/ai-service/{TENANT}/agentic/chat-stream"
    assert watch.of(path) == []
    with customer(agents) as browser, streamed(browser) as answer:
        list(events(answer))
    (sent,) = watch.of(path)
    assert (sent["bearer"], sent["saasToken"]) == ("customer", True)
