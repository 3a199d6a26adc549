"""A router that begins again in other features says so."""

from banditroute import Router, SQLStore


def learned(url, features):
    with Router(arms=["small", "large"], features=features, store=SQLStore(url)) as router:
        router.feedback(router.route([0.5] * features).id, quality=1.0)


def test_other_features_are_named_in_the_log(tmp_path, caplog):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    learned(url, 1)
    learned(url, 1)
    assert "other features than before" not in caplog.text
    learned(url, 2)
    assert "now given-2 (3 numbers), before given-1 (2 numbers)" in caplog.text
    caplog.clear()
    learned(url, 2)
    assert "other features than before" not in caplog.text
