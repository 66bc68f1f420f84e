"""Whether `make bench` says rightly which goals hold, and which it did not measure."""

from pathlib import Path

import pytest

from tests.bench.goals import Goal, reached
from tests.bench.names import EXPRESS, NGINX, OPENIDC, OURS
from tests.bench.provider import signed
from tests.bench.report import goal_table, table
from tests.bench.request_log import RequestLog
from tests.bench.results import Results, Run
from tests.bench.rounds import in_turn
from tests.bench.wire import (
    FIRST,
    NO_SESSION,
    ONE_CONNECTION,
    SCENARIOS,
    SLOW_200,
    SLOW_2000,
    Scenario,
)


def run(rate: float = 1000, *, p50: float = 1, p99: float = 5, cpu: float = 100, errors: int = 0) -> Run:
    return Run(rate, p50, p99, cpu, errors, 1 << 20, int(rate * 4))


def results(*rows: tuple[str, str, Run]) -> Results:
    found = Results({})
    for scenario, name, one in rows:
        found.add(scenario, name, one)
    return found


def held(found: Results) -> dict[str, bool]:
    return {goal.what: goal.holds for goal in reached(found)}


@pytest.mark.parametrize(
    ("figure", "most", "holds"),
    [(3.0, False, True), (2.996, False, True), (2.99, False, False), (3.0, True, True), (3.01, True, False)],
)
def test_a_goal_holds_by_what_is_printed(figure: float, most: bool, holds: bool) -> None:  # noqa: FBT001
    goal = Goal("it", 3, figure, most=most)
    assert goal.holds is holds
    assert ("yes" in goal.row()) is holds


def test_one_error_at_2000_connections_is_too_many() -> None:
    rows = [(SLOW_2000, OURS, run(errors=errors)) for errors in (0, 0, 1)]
    assert held(results(*rows))[f"{SLOW_2000}, errors in all rounds"] is False


def test_the_smaller_ratio_of_the_best_rounds_decides() -> None:
    """Whatever disturbs a run makes it worse, so that the best one says most of the server."""
    rows = [(FIRST, OPENIDC, run(rate, cpu=cpu)) for rate, cpu in ((1000, 400), (700, 600), (900, 500))]
    rows += [(FIRST, OURS, run(rate, cpu=cpu)) for rate, cpu in ((400, 900), (3200, 110), (3100, 100))]
    found = results(*rows)
    ratio = found.ratio(FIRST, OURS, OPENIDC)
    assert (ratio.requests, ratio.cpu, ratio.smaller) == (3.2, 4.0, 3.2)
    assert held(found) == {f"{FIRST}, against {OPENIDC}": True}


def test_of_what_200_connections_could_have_the_median_counts() -> None:
    rows = [(SLOW_200, OURS, run(rate)) for rate in (3900, 3700, 3720)]
    assert held(results(*rows)) == {f"{SLOW_200}, of 4,000/s": False}


def test_with_itself_it_is_compared_by_runs_near_each_other() -> None:
    """One lucky run of either says nothing: noise hits both alike."""
    rows = [(FIRST, OURS, run(rate, cpu=cpu)) for rate, cpu in ((1000, 100), (500, 200), (2000, 50))]
    rows += [(NO_SESSION, OURS, run(rate, cpu=cpu)) for rate, cpu in ((1100, 80), (550, 160), (1000, 100))]
    found = results(*rows)
    ratio = found.near((NO_SESSION, OURS), (FIRST, OURS))
    assert (ratio.requests, ratio.cpu) == (1.1, 1.25)
    assert held(found) == {"2 KiB without a session, against with one": True}


def test_scenarios_that_are_compared_alternate() -> None:
    one, two, once = Scenario("one", times=2), Scenario("two", times=2), Scenario("once")
    assert in_turn([one, two, once]) == [one, two, once, one, two]


def test_what_is_compared_with_itself_is_measured_as_often() -> None:
    times = {scenario.name: scenario.times for scenario in SCENARIOS}
    assert times[FIRST] == times[NO_SESSION]


def test_the_table_has_the_best_cpu_time_and_the_median() -> None:
    found = results(*[(FIRST, OURS, run(cpu=cpu)) for cpu in (300, 100, 200)])
    assert "| 100 | 200 |" in table(found)


def test_the_added_time_is_that_between_the_two() -> None:
    rows = [(ONE_CONNECTION, OURS, run(p50=0.45)), (ONE_CONNECTION, NGINX, run(p50=0.15))]
    assert held(results(*rows)) == {f"added p50 at one connection, against {NGINX}": False}


def test_the_p99_of_many_connections_is_held_against_their_throughput() -> None:
    """2,000 connections at 4,000 requests a second wait 500 ms each."""
    what = f"{SLOW_2000}, p99 against the mean of its throughput"
    assert held(results((SLOW_2000, OURS, run(4000, p99=990))))[what] is True
    assert held(results((SLOW_2000, OURS, run(4000, p99=1100))))[what] is False


def test_a_run_in_which_most_still_wait_has_no_p99() -> None:
    what = f"{SLOW_2000}, p99 against the mean of its throughput"
    assert held(results((SLOW_2000, OURS, run(150, p99=3000))))[what] is False


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert reached(results((FIRST, NGINX, run()))) == []
    assert goal_table([]) == ""


def test_a_contender_that_finished_nothing_has_a_line_all_the_same() -> None:
    rows = [(FIRST, OURS, run()), (FIRST, EXPRESS, run(0, cpu=float("inf")))]
    assert "| Express | 0 |" in table(results(*rows))


def test_log_lines_are_counted_once_and_only_whole(tmp_path: Path) -> None:
    file = tmp_path / "log"
    line = '{"event": "request"}\n'
    file.write_text(line * 2 + '{"event": "problem"}\n' + line[:-5])
    log = RequestLog(file)
    assert log.count() == 2
    with file.open("a") as more:
        more.write(line[-5:] + line)
    assert (log.count(), log.count()) == (4, 4)


def test_the_providers_tokens_have_three_parts() -> None:
    assert signed({"sub": "x"}).count(".") == 2
