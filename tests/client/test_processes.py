"""Threads, greenlets, forks, forgotten clients: each in an interpreter of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import gearpool
from tests.client import sample_application as sample
from tests.client.conftest import Server, Workers
from tests.processes import unmeasured

ROOT = Path(__file__).parents[2]


def python(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=unmeasured(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_sample_application_runs(server: Server, work: Workers) -> None:
    work(reverse=lambda job: job.data[::-1])
    result, status = sample.main([server.address])
    assert (result, status.is_known) == (b"ab", True)
    assert sample.reachable(server.address)


def test_the_sample_application_s_worker_and_asyncio_client_run(server: Server) -> None:
    program = "import sys; from tests.client import sample_application as app; print(app.serve(sys.argv[1:], 6))"
    argv = [sys.executable, "-W", "error", "-c", program, server.address]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        results = asyncio.run(sample.submit_async([server.address], ["ab", "cd"]))
        assert results == [b"tsrif", b"ba", b"dc"]
        with gearpool.Client(server.address) as client:
            assert client.submit_job("patient", "ok", timeout=30).startswith(b"ok on ")
            assert sample.follow(client.submit("stream", "ab", timeout=30)) == b""
            out, _ = process.communicate(timeout=60)
    assert out == "6\n"


def test_the_sample_application_s_own_tests_pass() -> None:
    assert str(sample.check_handlers().value).startswith("x on here, ")
    assert sample.check_with_a_server() == [b"a", b"b", b"ba"]


def test_a_client_loads_neither_gevent_nor_ssl(server: Server) -> None:
    out = python(
        """
        import sys
        from gearpool import Client
        with Client(sys.argv[1]) as client:
            client.submit_background_job("f", "x")
            client.admin.status()
        print([name for name in ("gevent", "ssl", "pydantic", "yaml", "rich") if name in sys.modules])
        """,
        server.address,
    )
    assert out.strip() == "[]"


def test_greenlets_of_a_patched_process_share_a_client(server: Server, work: Workers) -> None:
    work(echo=lambda job: job.data)
    out = python(
        """
        from gevent import monkey; monkey.patch_all()
        import sys, gevent
        from gearpool import Client
        ticks = 0
        def tick():
            global ticks
            while True:
                ticks += 1
                gevent.sleep(0.001)
        gevent.spawn(tick)
        with Client(sys.argv[1]) as client:
            def use(name):
                for number in range(20):
                    data = f"{name}-{number}".encode()
                    assert client.submit_job("echo", data) == data
            greenlets = [gevent.spawn(use, name) for name in range(20)]
            gevent.joinall(greenlets, timeout=30, raise_error=True)
            assert all(greenlet.successful() for greenlet in greenlets)
            before = ticks
            try:
                client.submit_job("nobody", "x", timeout=0.2)
            except TimeoutError:
                pass
            print(ticks - before > 10, list(client.map("echo", ["a", "b"])), client.echo())
        """,
        server.address,
    )
    assert out.strip() == "True [b'a', b'b'] b'gearpool'"


def test_a_forked_child_opens_its_own_connections_and_does_not_affect_its_parent(server: Server, work: Workers) -> None:
    work(echo=lambda job: job.data)
    out = python(
        """
        import os, sys
        from gearpool import Client, ConnectionLost
        client = Client(sys.argv[1])
        assert client.submit_job("echo", "parent") == b"parent"
        waiting = client.submit("nobody", "x")
        waiting.job()
        uniques = client.submit_background_job("later", "x").unique
        child = os.fork()
        if child == 0:
            try:
                assert isinstance(waiting.exception(20), ConnectionLost)
                assert client.submit_job("echo", "child") == b"child"
                assert client.submit_background_job("later", "x").unique.split("-")[0] != uniques.split("-")[0]
                client.close()
            except BaseException:
                import traceback; traceback.print_exc()
                os._exit(1)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert not waiting.done()
        assert client.get_job_status(waiting).is_known
        assert client.submit_job("echo", "parent again") == b"parent again"
        client.close()
        print("both")
        """,
        server.address,
    )
    assert out.strip() == "both"


@pytest.mark.parametrize("how", ["os.fork", "a pool of processes"])
def test_a_child_that_never_uses_the_client_does_not_cut_its_parent_off(server: Server, how: str) -> None:
    out = python(
        """
        import multiprocessing, os, sys
        from gearpool import Client
        client = Client(sys.argv[1])
        job = client.submit("nobody", "x")
        job.job()
        if sys.argv[2] == "os.fork":
            child = os.fork()
            if child == 0:
                sys.exit(0)
            os.waitpid(child, 0)
        else:
            context = multiprocessing.get_context("fork")
            with context.Pool(2) as pool:
                pool.map(len, ["a", "b"])
        assert client.echo(b"alive") == b"alive"
        assert client.get_job_status(job).is_known
        assert not job.done()
        client.close()
        print("alive")
        """,
        server.address,
        how,
    )
    assert out.strip() == "alive"


def test_a_forgotten_client_is_closed(server: Server) -> None:
    out = python(
        """
        import gc, sys, threading, time
        from gearpool import Client
        client = Client(sys.argv[1])
        client.submit_background_job("f", "x")
        assert threading.active_count() == 2
        del client
        gc.collect()
        end = time.monotonic() + 20
        while threading.active_count() > 1 and time.monotonic() < end:
            time.sleep(0.01)
        print(threading.active_count())
        """,
        server.address,
    )
    assert out.strip() == "1"


def test_a_program_ends_with_jobs_under_way_and_no_close(server: Server) -> None:
    python(
        """
        import sys
        from gearpool import Client
        Client(sys.argv[1]).submit("nobody", "x").job()
        """,
        server.address,
    )


def test_an_endless_map_stays_in_constant_memory(server: Server, work: Workers) -> None:
    work(echo=lambda job: b"")
    out = python(
        """
        import itertools, resource, sys
        from gearpool import Client
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with Client(sys.argv[1]) as client:
            results = client.map("echo", itertools.repeat(b"x" * 1000), window=100)
            for _ in range(500):
                next(results)
            before = peak()
            for _ in range(15000):
                next(results)
            print(peak() - before < 4096)
        """,
        server.address,
    )
    assert out.strip() == "True"
