"""Two processes of one router and one server: they agree on what is resident, and one of them plans."""

import json
import subprocess
import sys

import pytest

from tests.adapters.stand_ins import FakeVLLM, running
from tests.support import wait_until

WORKER = """
import json, sys
from banditroute import Arm, Preference, Router
from banditroute.adapters import AdapterCache, AdapterSpec, Controller, Fleet, VLLMBackend, shared_residency
from banditroute.store import SQLStore

shared_residency._LEASE_SECONDS, shared_residency._RENEW_SECONDS = 2.0, 0.5
url, address, kind, seed = sys.argv[1:]
backend, control = VLLMBackend(base_url=address, max_loras=2), Controller(shortest_epoch=10, longest_epoch=10)
if kind == "cache":
    cache = AdapterCache(backend=backend, control=control)
else:
    cache = Fleet(servers={"gpu": backend}, control=control)
arms = [Arm(name=name, adapter=AdapterSpec(name=name, path=f"adapters/{name}", size_bytes=10**8)) for name in "abcd"]
router = Router(arms=arms, features=1, adapters=cache, store=SQLStore(url), seed=int(seed),
                preference=Preference(quality=1.0, latency_seconds=0.1))
(server,) = cache.shared_caches
for line in sys.stdin:
    command, count, best = json.loads(line)
    for _ in range(count):
        with router.lease(router.route([1.0], arms=None if command == "serve" else [best])) as decision:
            pass
        router.feedback(decision.id, quality=float(decision.arm == best))
    cache.wait()
    one = cache.shared_caches[server]
    print(json.dumps({"resident": sorted(cache.resident), "keeps": sorted(one.keeps), "owns": one._owned}), flush=True)
    if command == "close":
        router.close()
"""


class Worker:
    def __init__(self, process):
        self.process = process

    def serve(self, count, best, *, command="serve"):
        self.process.stdin.write(json.dumps([command, count, best]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the worker has ended"
        return json.loads(line)

    def see(self):
        return self.serve(0, "a")


@pytest.fixture
def server():
    fake = FakeVLLM(max_loras=2, max_cpu_loras=2)
    with running(fake) as address:
        fake.address = address
        yield fake


@pytest.fixture
def start(url, server):
    """Start a process that serves by a fleet over SQLite, or by a cache over PostgreSQL."""
    workers, kind = [], "fleet" if url.startswith("sqlite") else "cache"

    def begin():
        argv = [sys.executable, "-c", WORKER, url, server.address, kind, str(len(workers))]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        workers.append(process)
        return Worker(process)

    yield begin
    for process in workers:
        process.kill()
        process.communicate()


def test_loads_and_evictions_of_one_process_reach_the_other(start, server):
    one, two = start(), start()
    two.see()
    one.serve(1, "c", command="only")
    wait_until(lambda: two.see()["resident"] == ["c"])
    loads = server.last_id
    two.serve(3, "c", command="only")
    assert server.last_id == loads
    for name in "ab":
        one.serve(1, name, command="only")
    wait_until(lambda: two.see()["resident"] == one.see()["resident"])
    assert len(two.see()["resident"]) == 2


def test_single_process_plans_and_the_other_follows(start, server):
    one, two = start(), start()
    one.serve(60, "a")
    wait_until(lambda: one.see()["keeps"] == two.see()["keeps"] != [])
    two.serve(60, "b")
    seen = [one.see(), two.see()]
    assert [each["owns"] for each in seen] in ([True, False], [False, True])
    wait_until(lambda: one.see()["keeps"] == two.see()["keeps"])


def test_process_that_starts_later_finds_the_residents_and_the_plan(start):
    one = start()
    seen = one.serve(60, "a")
    later = start()
    wait_until(lambda: later.see()["resident"] == one.see()["resident"])
    wait_until(lambda: later.see()["keeps"] == one.serve(1, seen["keeps"][0])["keeps"])
    wait_until(lambda: one.serve(1, seen["keeps"][0])["owns"] and not later.see()["owns"])


@pytest.mark.parametrize("end", ["crash", "close"])
def test_process_that_ends_is_replaced_by_the_other(start, end):
    one, two = start(), start()
    one.serve(30, "a")
    wait_until(lambda: not two.see()["owns"])
    if end == "crash":
        one.process.kill()
        one.process.wait()
    else:
        one.serve(0, "a", command="close")

    def replaced():
        two.serve(12, "d")
        return two.see()["owns"]

    wait_until(replaced)
