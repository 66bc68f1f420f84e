"""Answers that more pages may read than should, or fewer."""

from pathlib import Path

import pytest

from bff.app import Proxy
from bff.middleware.cors import Cors
from tests.conformance.deployed import Mutation, assert_caught


class _Everybody(frozenset[bytes]):
    def __contains__(self, _origin: object) -> bool:
        return True


def _reflecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.middleware.cors.supersededset", lambda _origins: _Everybody(), raising=False)


def _star(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cors, "_approval", lambda _self, _origin: [(b"access-control-allow-origin", b"*")])


def _unvarying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.middleware.cors._varying", list)


def _forgetting(proxy: Proxy) -> None:
    proxy._door._allowed = frozenset()


MUTATIONS = [
    Mutation("every origin is approved", {"cors-unknown-preflight", "cors-unknown-answer"}, _reflecting),
    Mutation(
        "the approval is a star",
        {"cors-own-preflight", "cors-allowed-preflight", "cors-readable", "cors-unknown-answer"},
        _star,
    ),
    Mutation("caches do not tell origins apart", {"cors-readable"}, _unvarying),
    Mutation("the allowed origin is forgotten", {"cors-allowed-let-in"}, after=_forgetting),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
