"""A page in a process that forks."""

from banditroute import Router, SQLStore
from banditroute.dashboard.reader import Reader
from tests.support import in_child


def test_a_forked_child_reads_on(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    with Router(arms=["a", "b"], store=SQLStore(url), features=1, seed=0) as router:
        decision = router.route([0.5])
        router.flush()
    reader = Reader(url=url)
    assert reader.visit(10.0).latest[0].id == decision.id
    for _ in range(5):
        assert in_child(lambda: reader.visit(10.0).latest[0].id) == decision.id
