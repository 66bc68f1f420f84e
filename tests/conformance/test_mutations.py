"""What holds for the whole checklist: nothing fails on a sound deployment, and every row can fail."""

import importlib
from pathlib import Path

import pytest

from bff.conformance.check import Outcome, Row
from bff.conformance.probe import Options
from bff.conformance.run import CHECKS, rows
from tests.conformance import test_mutations_framing
from tests.conformance.deployed import Deployments, Mutation, everything

FOLDER = Path(__file__).parent
BLIND = {"trust-twins", "trust-connection"}  # always n.a.: what they ask cannot be seen from outside
SOUND = [
    Mutation("http", set()),
    Mutation("https", set(), secure=True),
    Mutation("drop-in", set(), settings={"BFF_DROP_IN": "true"}),
    Mutation("none", set(), secure=True, settings={"BFF_COOKIE_SAMESITE": "none"}),
]


def _by_outcome(found: list[Row], outcome: Outcome) -> dict[str, str]:
    return {row.id: row.seen for row in found if row.outcome is outcome}


@pytest.mark.anyio
@pytest.mark.parametrize("sound", SOUND, ids=str)
async def test_every_row_passes_on_a_sound_deployment(sound: Mutation, deployments: Deployments) -> None:
    async with deployments.serving(sound) as target:
        found = await rows(target, everything())
    plain = set() if sound.secure else {"cookie-name", "cookie-secure", "field-hsts"}
    off = set() if sound.settings.get("BFF_DROP_IN") else {"drop-in-placeholder", "drop-in-guest"}
    assert _by_outcome(found, Outcome.FAIL) == {}
    assert set(_by_outcome(found, Outcome.NOT_APPLICABLE)) == BLIND | plain | off


@pytest.mark.anyio
async def test_nothing_but_the_address_is_needed(deployments: Deployments) -> None:
    async with deployments.serving(SOUND[0]) as target:
        found = await rows(target, Options())
    assert _by_outcome(found, Outcome.FAIL) == {}
    reasons = {row.seen for row in found if row.outcome is Outcome.NOT_APPLICABLE}
    assert {f"no --{name} was given" for name in ("tenant", "customer", "sso", "allowed-origin")} <= reasons


def test_every_row_is_failed_by_a_mutation() -> None:
    caught: set[str] = set(test_mutations_framing.IDS)
    for path in sorted(FOLDER.glob("test_mutations_*.py")):
        for mutation in importlib.import_module(f"{__package__}.{path.stem}").MUTATIONS:
            caught |= mutation.fails
    assert caught == {one.id for one in CHECKS} - BLIND


def test_rows_have_ids_of_their_own_and_say_who_asks_for_them() -> None:
    assert len({one.id for one in CHECKS}) == len(CHECKS)
    assert all(one.title and one.source for one in CHECKS)
