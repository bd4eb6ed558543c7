"""The outcome of a check, as `make doctor` and `make status` show it."""

from dataclasses import dataclass

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"


CLOCK_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: What was looked at.
        state: ``ok``, ``warning``, ``failed`` or ``skipped``.
        required: What it takes.
        found: What is there.
        advice: What to do, empty when all is well.
    """

    name: str
    state: str
    required: str
    found: str
    advice: str = ""


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparing."""
    parts = version.lstrip("v").split("-")[0].split("+")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def clock_check(name: str, drift: float) -> Check:
    """Judge the seconds by which a clock differs from this machine's."""
    late = drift > CLOCK_SECONDS
    advice = "set the clock (on Docker Desktop: restart it); tokens and sessions end too early or late" if late else ""
    return Check(name, WARNING if late else OK, f"within {CLOCK_SECONDS} s of this machine's", f"{drift:.0f} s", advice)
