"""PostgreSQL behind pgbouncer in transaction mode: each transaction may have another connection of the server."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from banditroute import admin
from banditroute.errors import StoreError
from banditroute.store import SQLStore
from tests.support import X, make_router, wait_until

PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
if PGBOUNCER is None:
    pytest.skip("pgbouncer is missing: apt-get install pgbouncer", allow_module_level=True)

CONFIG = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
query_wait_timeout = 5
logfile = {folder}/log
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(scope="module")
def pooled(postgresql):
    """The URL of an empty database behind pgbouncer, and the direct one."""
    server = postgresql.address
    with create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE pooled")
    direct = server.set(database="pooled")
    folder = Path(tempfile.mkdtemp(prefix="banditroute-"))  # pytest's are closed to the user that pgbouncer runs as
    os.chmod(folder, 0o777)
    listen = free_port()
    host = server.query.get("host") or server.host
    (folder / "ini").write_text(
        CONFIG.format(host=host, port=server.port or 5432, user=server.username, listen=listen, folder=folder)
    )
    user = postgresql.system_user  # if we are root, who must not run it
    running = subprocess.Popen([PGBOUNCER, *([] if user is None else ["-u", user]), str(folder / "ini")])

    def listens() -> bool:
        assert running.poll() is None, "pgbouncer does not start"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", listen)) == 0

    wait_until(listens)
    try:
        url = f"postgresql://{server.username}:any@127.0.0.1:{listen}/pooled"
        admin.upgrade(url)
        yield url, direct.render_as_string(hide_password=False)
    finally:
        running.terminate()
        running.wait(10)
        shutil.rmtree(folder)


def test_pooler_refuses_options_at_the_start(pooled):
    """Else these tests could not fail where a connection is set up by such options."""
    with pytest.raises(StoreError, match="options"):
        SQLStore(pooled[0] + "?options=-cstatement_timeout%3D1000").open(
            router="x", arms=(), features_version="1", dimension=2, fold=lambda blob, events: b""
        )


def test_routers_of_many_threads_lose_nothing_behind_a_pooler(pooled):
    routers = [make_router(store=SQLStore(pooled[0]), name="pooled", seed=k) for k in range(4)]
    accepted, errors = [], []

    def work(router):
        for n in range(40):
            try:
                decision = router.route(X, session=f"s{n % 5}")
                if router.feedback(decision.id, quality=float(n % 2)) == "accepted":
                    accepted.append(decision.id)
            except Exception as error:
                errors.append(repr(error))

    threads = [threading.Thread(target=work, args=(router,)) for router in routers for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(accepted) == 320
    wait_until(lambda: all(router.status().learned == 320 for router in routers))
    for router in routers:
        router.close()
    assert sum(epoch.answered for epoch in admin.inspect(pooled[0], router="pooled")) == 320
    assert admin.verify(pooled[0]) == []


def test_limits_are_set_in_each_transaction_and_left_in_none(pooled):
    """A limit that stayed on a shared connection would end the statements of other clients."""
    with make_router(store=SQLStore(pooled[0]), name="limits") as router:
        router.feedback(router.route(X).id, quality=1.0)
        router.flush()
        engine = create_engine(
            make_url(pooled[0]).set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={"prepare_threshold": None},
        )
        with engine.connect() as connection:
            for _ in range(20):
                assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"
                assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
                assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0


def test_pooler_that_drops_its_connections_loses_nothing(pooled):
    url, direct = pooled
    accepted = []
    admin_engine = create_engine(direct, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with make_router(store=SQLStore(url), name="cut") as router:
        for n in range(30):
            decision = router.route(X)
            if n % 10 == 5:
                with admin_engine.connect() as connection:
                    connection.exec_driver_sql(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = 'pooled' AND pid <> pg_backend_pid()"
                    )
            for _ in range(5):  # a report whose outcome is unknown may be made again
                try:
                    router.feedback(decision.id, quality=1.0)
                except StoreError:
                    continue
                accepted.append(decision.id)
                break
    assert len(accepted) == 30
    assert sum(epoch.answered for epoch in admin.inspect(url, router="cut")) == 30


def test_admin_commands_work_behind_a_pooler(pooled):
    url, _ = pooled
    with make_router(store=SQLStore(url), name="kept") as router:
        for n in range(12):
            router.feedback(router.route(X, session=f"s{n % 3}").id, quality=1.0)
    admin.snapshot(url, router="kept")
    admin.erase(url, session="s1")
    admin.rebuild(url, router="kept")
    assert admin.verify(url) == []
    assert sum(epoch.answered for epoch in admin.inspect(url, router="kept")) == 8
