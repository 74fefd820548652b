"""What does not go with greenlets is found in handlers' code, however it is imported."""

from __future__ import annotations

import types

import pytest

from gearpool.config.hazards import ASYNCIO, EXECUTOR, POOL, hazards


def module(source: str, path: str = "/srv/app/shop.py") -> types.ModuleType:
    made = types.ModuleType("shop")
    made.__file__ = path
    exec(compile(source, path, "exec"), vars(made))
    return made


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import multiprocessing\ndef f(arg):\n    with multiprocessing.Pool(2) as p: return p.map(str, [1])\n", POOL),
        ("import multiprocessing as mp\ndef f(arg): return mp.get_context('spawn').Pool(2)\n", POOL),
        ("from multiprocessing import Pool\n", POOL),
        ("from multiprocessing.pool import Pool as Workers\n", POOL),
        ("def f(arg):\n    from multiprocessing import Pool\n    return Pool(2)\n", POOL),
        ("import multiprocessing\nclass Shop:\n    def sell(self, arg): return multiprocessing.Pool(2)\n", POOL),
        ("from concurrent.futures import ProcessPoolExecutor\n", EXECUTOR),
        ("import concurrent.futures as cf\ndef f(arg):\n    def g(): cf.ProcessPoolExecutor()\n    return g\n", EXECUTOR),
        ("import asyncio\nasync def main(): pass\ndef f(arg): return asyncio.run(main())\n", ASYNCIO),
        ("from asyncio import run\n", ASYNCIO),
        ("import asyncio\ndef f(arg): return asyncio.new_event_loop().run_until_complete(arg)\n", ASYNCIO),
    ],
)  # fmt: skip
def test_what_hangs_or_fails_is_found(source: str, what: str) -> None:
    assert hazards({"shop": module(source)}) == [f"shop uses {what}"]


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\ndef f(arg): return subprocess.run(['true'])\n",
        "import multiprocessing\ndef f(arg): return multiprocessing.cpu_count()\n",
        "import multiprocessing\ndef f(arg): multiprocessing.Process(target=print).start()\n",
        "class Pool: pass\ndef f(arg): return Pool()\n",
        "import asyncio\nasync def f(): await asyncio.sleep(1)\n",
        "from concurrent.futures import ThreadPoolExecutor\ndef f(arg): return ThreadPoolExecutor()\n",
    ],
)
def test_what_goes_with_greenlets_is_not(source: str) -> None:
    assert hazards({"shop": module(source)}) == []


def test_an_object_that_must_not_be_looked_at_is_left_alone() -> None:
    source = (
        "class Proxy:\n    def __getattr__(self, name): raise RuntimeError\n"
        "    __class__ = property(lambda self: 1 / 0)\nproxy = Proxy()\n"
    )
    assert hazards({"shop": module(source)}) == []


def test_only_the_users_own_modules_are_looked_at() -> None:
    source = "from multiprocessing import Pool\n"
    assert hazards({"shop": module(source, "/opt/lib/python3/site-packages/shop.py")}) == []
    assert hazards({"multiprocessing.pool": __import__("multiprocessing.pool").pool, "shop": None}) == []
