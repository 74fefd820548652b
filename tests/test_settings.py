from __future__ import annotations

import json

from gearpool.settings import (
    BreakerSettings,
    ControlSettings,
    DeadLetterSettings,
    EmbeddedSettings,
    FunctionSettings,
    HttpSettings,
    LogSettings,
    PoisonSettings,
    ReconnectSettings,
    RecycleSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    TlsSettings,
    from_json,
    to_json,
)  # fmt: skip

FULL = Settings(
    servers=(
        ServerSettings(host="::1", port=1, tls=TlsSettings(ca="a", cert="b", key="c", server_name="d")),
        ServerSettings(host="h"),
    ),
    functions=(
        FunctionSettings(
            name="f", handler="a.b", concurrency=2, timeout_s=1.5, on_error={"ValueError": "skip", "default": "retry"},
            on_drain="fail", retry=RetrySettings(attempts=9, then="dead_letter"),
            dead_letter=DeadLetterSettings(file="x"), breaker=BreakerSettings(), poison=PoisonSettings(kills=1),
            report="exception", payload="json", rate_per_s=0.5, weight=2.0, enabled=False,
        ),
        FunctionSettings(name="g", handler="c.d"),
    ),
    path="/x/workers.yaml", base="/x", embedded=EmbeddedSettings(store="/x/s"), processes=4,
    recycle=RecycleSettings(jobs=5), log=LogSettings(jobs=True), http=HttpSettings(token="t"),
    control=ControlSettings(socket="/s"), worker_id="w", reconnect=ReconnectSettings(delay_s=1.0), monkey_patch=False,
)  # fmt: skip


def test_settings_survive_the_way_through_json() -> None:
    assert from_json(Settings, json.loads(json.dumps(to_json(FULL)))) == FULL


def test_so_do_their_defaults() -> None:
    plain = Settings(servers=(), functions=())
    assert from_json(Settings, json.loads(json.dumps(to_json(plain)))) == plain


def test_a_server_is_named_as_people_write_it() -> None:
    assert [str(server) for server in FULL.servers] == ["[::1]:1", "h:4730"]
