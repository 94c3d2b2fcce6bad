"""What a soak showed, as Markdown and as a plot; nothing is measured here."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.figures import percentile
from benchmarks.peers.report import number
from benchmarks.soak.memory import FLAT, second_half, slope, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.soak.hostile import Attack, Outcomes
    from benchmarks.soak.memory import Sample
    from benchmarks.soak.pacing import Answer

MINUTE = 60
MEANING = (
    "An outcome is the status of the answer, and whether the connection was closed, where it has to be; `gone` is a "
    "client that dropped the connection itself. 503 sheds load and is always right."
)


def failures(answers: Sequence[Answer]) -> Counter[str]:
    """Count what went wrong: kind of request and of failure → how often."""
    return Counter(f"{answer.kind}: {answer.wrong}" for answer in answers if answer.wrong)


def unexpected(outcomes: Outcomes, attacks: Iterable[Attack]) -> Counter[str]:
    """Count the outcomes that should not have been: attack and outcome → how often."""
    known = {attack.name: attack for attack in attacks}
    return Counter(
        {f"{name}: {outcome}": n for (name, outcome), n in outcomes.items() if not known[name].right(outcome)}
    )


def _counted(counts: Counter[str]) -> str:
    return "".join(f"; {what} ({count})" for what, count in counts.most_common())


def hostile(outcomes: Outcomes, attacks: Iterable[Attack], seconds: float) -> str:
    """Lay out what came of the attacks in so many seconds."""
    several = list(attacks)
    wrong = unexpected(outcomes, several)
    lines = [
        "",
        "## Hostile clients",
        f"{outcomes.total()} of {len(several)} kinds, {outcomes.total() / seconds:.0f} a second. {MEANING}",
        "",
        f"- outcomes that should not have been: {wrong.total()} (expected: 0){_counted(wrong)}",
        "",
        "| attack | clients | right outcomes | what came |",
        "| --- | ---: | --- | --- |",
    ]
    for attack in several:
        came = Counter({outcome: n for (name, outcome), n in outcomes.items() if name == attack.name})
        told = ", ".join(f"{outcome} ({count})" for outcome, count in came.most_common())
        lines.append(f"| {attack.name} | {came.total()} | {', '.join(attack.expected)} | {told} |")
    return "\n".join(lines) + "\n"


def minute(answer: Answer) -> int:
    """Return the minute in which a request was due, from 1."""
    return int(answer.at // MINUTE) + 1


def markdown(answers: Sequence[Answer], samples: Sequence[Sample], facts: Mapping[str, str]) -> str:
    """Lay everything out."""
    wrong = failures(answers)
    start, end, half = samples[0], samples[-1], second_half(samples)
    lines = [
        "# A soak",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        f"- requests: {len(answers)}",
        f"- failures: {wrong.total()} (expected: 0){_counted(wrong)}",
        f"- memory of all processes, PSS / RSS in MB: {_weight(start)} at the start, {_weight(end)} at the end",
        f"- slope of the RSS over the second half, {len(half)} samples: {slope(samples):+.0f} MB an hour",
        f"- verdict, flat being less than {FLAT:.0f}: {verdict(samples)}",
        "",
        *_table("request", answers, lambda answer: answer.kind),
        "",
        *_table("minute", answers, minute),
    ]
    return "\n".join(lines) + "\n"


def _weight(sample: Sample) -> str:
    return f"{sample.pss:.0f} / {sample.rss:.0f}"


def _table(head: str, answers: Sequence[Answer], of: Callable[[Answer], Any]) -> list[str]:
    groups: dict[Any, list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[of(answer)].append(answer)
    lines = [f"| {head} | requests | failures | p50 ms | p99 ms |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, group in sorted(groups.items()):
        times = [answer.milliseconds for answer in group if not answer.wrong]
        cuts = " | ".join(number(percentile(times, percent)) for percent in (50, 99))
        lines.append(f"| {name} | {len(group)} | {failures(group).total()} | {cuts} |")
    return lines


def plot(answers: Sequence[Answer], samples: Sequence[Sample], path: Path, caption: str) -> None:
    """Draw times by minute above the memory, with the line whose slope is the verdict."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # not needed where only the text is made

    figure = Figure(figsize=(9, 5.5))
    figure.set_layout_engine("constrained")
    times, memory = figure.subplots(2, 1, sharex=True)
    by_minute: dict[int, list[float]] = defaultdict(list)
    for answer in answers:
        by_minute[minute(answer)].append(answer.milliseconds)
    for percent, style in ((50, "-"), (99, "--")):
        cuts = [percentile(each, percent) for each in by_minute.values()]
        times.plot([each - 0.5 for each in by_minute], cuts, style, color="tab:red", marker=".", label=f"p{percent}")
    times.set(ylabel="ms from when it was due", yscale="log")
    at = np.array([each.at for each in samples]) / MINUTE
    memory.plot(at, [each.rss for each in samples], color="0.6", label="RSS")
    memory.plot(at, [each.pss for each in samples], color="tab:blue", label="PSS")
    half = second_half(samples)
    ends, middle = np.array([half[0].at, half[-1].at]), np.mean([(each.at, each.rss) for each in half], axis=0)
    line = middle[1] + slope(samples) / 3_600 * (ends - middle[0])
    memory.plot(ends / MINUTE, line, color="k", lw=1, label=f"{slope(samples):+.0f} MB an hour: {verdict(samples)}")
    memory.set(xlabel="minutes", ylabel="MB, all processes", ylim=(0, None))
    for axes in (times, memory):
        axes.legend(fontsize="small", loc="lower right")
        axes.grid(alpha=0.3)
    figure.suptitle(caption, fontsize="medium")
    figure.savefig(path, dpi=110)
