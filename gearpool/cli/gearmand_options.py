"""What `gearpool server` answers to options of gearmand that it does not have: what to do instead. Floor 5; pure.

The options are those of ``gearmand --help``, 1.1.20 and 2.0.0. deploy/README has the same as a table; a test holds the two
and the real ``--help`` together.
"""

from __future__ import annotations

_FOREGROUND = "it stays in the foreground; let systemd, a container or the shell keep it in the background"
_QUEUE = "background jobs are kept in one SQLite file: --store PATH"

_ADVICE: dict[tuple[str, ...], str] = {
    ("-d", "--daemon"): _FOREGROUND,
    ("--hashtable-buckets",): "its tables grow by themselves",
    ("--keepalive", "--keepalive-idle", "--keepalive-interval", "--keepalive-count"): (
        "keepalive is always on: a peer that is gone is noticed within minutes"
    ),
    ("-l", "--log-file", "--syslog"): "it logs to standard error; redirect it, or let journald or `| logger` take it",
    ("-P", "--pid-file"): f"{_FOREGROUND}, which then know its process id; the text command getpid reports it, too",
    ("-r", "--protocol", "--http-port"): "it does not serve HTTP; `gearpool queues` shows its queues",
    ("-R", "--round-robin"): "functions of equal priority always alternate; omit it",
    ("-q", "--queue-type"): _QUEUE,
    ("--config-file",): (
        "write its few options on the command line, or use `embedded:` in a configuration of the daemon"
    ),
    ("--coredump",): "use `ulimit -c unlimited`, or LimitCORE= of systemd",
    ("-t", "--threads"): "one thread serves everything; omit it",
    ("-u", "--user"): "start it as that user: User= of systemd, or `setpriv`",
    ("-V",): "use --version",
    ("--verbose",): "use --log-level",
    ("--ssl", "--ssl-ca-file", "--ssl-certificate", "--ssl-key"): (
        "use --tls-cert, --tls-key and, to require client certificates, --tls-ca"
    ),
    ("--store-queue-on-shutdown",): "--store PATH writes each background job before it is acknowledged",
}

INSTEAD = {option: advice for options, advice in _ADVICE.items() for option in options}

_QUEUES = ("--lib", "--mysql-", "--redis-")


def instead(word: str) -> str | None:
    """What to do instead of this option of gearmand; None: gearmand has none of this name, or we have it, too."""
    option = word.partition("=")[0]
    if option.startswith(_QUEUES):
        return _QUEUE
    if not option.startswith("--"):
        # ``-t4``
        option = option[:2]
    return INSTEAD.get(option)
