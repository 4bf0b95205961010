"""Whether nextpnr's router gets anywhere: on a full device it can go round in circles for ever."""

import re
import time
from collections.abc import Callable

__all__ = ["RouterStalled", "RouterWatch", "router_error"]

# Of 24 runs that ended, none was without progress for more than 5 lines of router1, or for 358 iterations of router2;
# those that were stopped had not got on for thousands.
PATIENCE = {"router1": 100_000, "router2": 2000}
"""Iterations without progress; router1 counts connections."""

SHARE, LEAST_SECONDS = 10, 300
"""Time for routing, as a multiple of the time until then, and at least."""

LINES = {"router1": re.compile(r"Info: +(\d+) \|[ \d]+\|[ \d]+\| +(\d+)\|"),
         "router2": re.compile(r"Info: +iter=(\d+) .*overused=(\d+)")}
BEGIN = re.compile(r"Info: (Routing|Running router)", re.MULTILINE)


class RouterStalled(RuntimeError):
    """The router came to no end; the message says what it was at."""


class RouterWatch:
    """To be called with lines of nextpnr's log, not necessarily all, as they appear.

    Parameters
    ----------
    clock
        Seconds.

    Raises RouterStalled where what is still to be done has not become less for long, or takes much longer than
    everything before it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._started = clock()
        self._routing_since: float | None = None
        self._least: dict[str, tuple[int, int]] = {}

    def __call__(self, line: str) -> None:
        seen = next(((router, match) for router, pattern in LINES.items() if (match := pattern.match(line))), None)
        if self._routing_since is None and (seen or BEGIN.match(line)):
            self._routing_since = self._clock()
        if seen:
            router, (iteration, left) = seen[0], map(int, seen[1].groups())
            best, when = self._least.get(router, (left, iteration))
            self._least[router] = best, when = (left, iteration) if left < best else (best, when)
            if iteration - when > PATIENCE[router]:
                what = "connections to route" if router == "router1" else "overused wires"
                raise RouterStalled(f"{router} stays at {best} {what}")
        if self._routing_since is not None:
            before, spent = self._routing_since - self._started, self._clock() - self._routing_since
            if spent > max(LEAST_SECONDS, SHARE * before):
                raise RouterStalled(f"the router was not done after {spent:.0f} s, and all before took {before:.0f} s")


def router_error(log: str) -> str | None:
    """What nextpnr failed with while it was routing, by its whole log; None where that is not how it ended."""
    begin = BEGIN.search(log)
    errors = re.findall(r"^ERROR: (.*)", log[begin.start():], re.MULTILINE) if begin else []
    return errors[-1] if errors else None
