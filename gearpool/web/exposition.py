"""Writes metrics in the format that a scraper asks for: OpenMetrics, or the text format of Prometheus. Floor 3; pure.

prometheus-client negotiates the format. Its encoders take over ten times as long as these few lines, since they make several
objects of each sample: 0.3 s with 500 functions, in which the process would answer no health check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.exposition import choose_encoder

from gearpool.version import __version__
from gearpool.web import metric_names as names
from gearpool.web.metric_names import Metric


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its samples, each a line; the lines are the same in both formats."""

    metric: Metric
    lines: list[str]


Families = Callable[[], Iterable[Family]]
Rows = Iterable[tuple[Sequence[str], float]]


def expose(families: Families, accept: str) -> tuple[bytes, str]:
    """The exposition and its media type.

    Args:
        families: returns the metric families, each once.
        accept: the request's header Accept; empty for the text format.
    """
    _, media_type = choose_encoder(accept)
    openmetrics = media_type.startswith("application/openmetrics-text")
    lines: list[str] = []
    for family in families():
        lines += _head(family.metric, openmetrics)
        lines += family.lines
    lines.append("# EOF\n" if openmetrics else "")
    return "\n".join(lines).encode("utf-8", "backslashreplace"), media_type


def family(metric: Metric, rows: Rows) -> Family:
    """A metric with a value for each set of label values."""
    name = metric.name
    return Family(metric, [f"{name}{_braces(metric.labels, values)} {float(value)}" for values, value in rows])


def histogram(
    metric: Metric, bounds: Sequence[float], rows: Iterable[tuple[Sequence[str], Sequence[int], float]]
) -> Family:
    """A histogram of the counts in each bucket, which are not cumulative, and their sum, for each set of label values."""
    ends = [f'le="{float(bound)!r}"}}' for bound in bounds] + ['le="+Inf"}']
    lines: list[str] = []
    for values, counts, total in rows:
        labels = _labels(metric.labels, values)
        begin = f"{metric.name}_bucket{{{labels}," if labels else f"{metric.name}_bucket{{"
        cumulative = list(accumulate(counts))
        lines += [f"{begin}{end} {float(count)}" for end, count in zip(ends, cumulative, strict=True)]
        braces = f"{{{labels}}}" if labels else ""
        lines.append(f"{metric.name}_count{braces} {float(cumulative[-1])}")
        lines.append(f"{metric.name}_sum{braces} {float(total)}")
    return Family(metric, lines)


def build_info() -> Family:
    """The metric with the version of gearpool."""
    return family(names.BUILD_INFO, [([__version__], 1)])


def _head(metric: Metric, openmetrics: bool) -> list[str]:
    name, kind = metric.name, metric.kind
    text = metric.help.replace("\\", r"\\")
    if openmetrics:
        name = name.removesuffix("_total") if kind == "counter" else name.removesuffix("_info")
        text = text.replace('"', r"\"")
    elif kind == "info":
        kind = "gauge"
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _braces(labels: Sequence[str], values: Sequence[str]) -> str:
    return f"{{{_labels(labels, values)}}}" if labels else ""


def _labels(labels: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(zip(labels, values, strict=True)))


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value
