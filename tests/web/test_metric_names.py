"""The table of metrics keeps the conventions of Prometheus, which promtool checks of an exposition as well."""

from __future__ import annotations

import re

from gearpool.web import metric_names


def test_names_are_unique_and_carry_the_ending_of_their_kind() -> None:
    names = [metric.name for metric in metric_names.ALL]
    assert len(names) == len(set(names))
    endings = {"counter": "_total", "info": "_info"}
    for metric in metric_names.ALL:
        assert re.fullmatch(r"(gearpool|gearman)(_[a-z]+)+", metric.name)
        if metric.kind in endings:
            assert metric.name.endswith(endings[metric.kind])
        else:
            assert not metric.name.endswith(("_total", "_info", "_count", "_sum", "_bucket"))


def test_every_metric_says_what_it_means_in_a_sentence() -> None:
    for metric in metric_names.ALL:
        assert metric.help.endswith(".")
        assert len(metric.help) > 20


def test_the_exporters_metrics_are_in_the_table_of_all() -> None:
    assert set(metric_names.GEARMAN) == {metric for metric in metric_names.ALL if metric.name.startswith("gearman_")}
