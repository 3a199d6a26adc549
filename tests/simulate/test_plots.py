"""What a person is shown: the table's text, and a picture with something in it."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from banditroute.core.preference import Preference
from banditroute.errors import MissingDependencyError
from banditroute.simulate.metrics import Row, estimate, fixed_choice, references, summarize
from banditroute.simulate.plots import draw, text_table
from banditroute.simulate.replay import Trace

PREFER = Preference(quality=1.0, cost_usd=10.0)


@pytest.fixture
def traces(toy):
    orders = [np.array([0, 1, 2, 3]), np.array([3, 1, 0, 2])]
    return {
        "learned": [Trace(policy="learned", seed=i, rows=rows, chosen=rows % 3) for i, rows in enumerate(orders)],
        "other": [Trace(policy="other", seed=i, rows=rows, chosen=(rows + i) % 3) for i, rows in enumerate(orders)],
    }


@pytest.fixture
def rows(toy, traces):
    return [summarize(toy, PREFER, policy, runs) for policy, runs in traces.items()] + references(toy, PREFER)


class TestTextTable:
    def test_to_the_letter(self):
        quality, cost, regret = estimate([0.5, 0.75]), estimate([0.001, 0.001]), estimate([10.0, -2.5])
        learned = Row(
            policy="learned",
            objectives={"quality": quality, "cost_usd": cost, "output_tokens": quality},
            utility=quality,
            regret=regret,
            shares={"small": 0.75, "vendor/big": 0.25},
        )
        always = Row(
            policy="always small",
            objectives={"quality": estimate([1.0]), "energy_joules": estimate([12.34])},
            utility=estimate([1.0]),
            regret=estimate([0.0]),
            shares={"small": 1.0, "vendor/big": 0.0},
        )
        # t(.975, 1) = 12.7062: .125 x 12.7062 = 1.5883, and 6.25 x 12.7062 = 79.4
        head = "policy                quality             cost USD  energy J          utility      regret  small  big"
        assert text_table([learned, always]).splitlines() == [
            head,
            "-" * len(head),
            "learned       0.6250 ± 1.5883  0.001000 ± 0.000000         –  0.6250 ± 1.5883  3.8 ± 79.4    75%  25%",
            "always small           1.0000                    –      12.3           1.0000         0.0   100%   0%",
        ]

    def test_single_seed_shows_no_interval(self, rows):
        *_, oracle = text_table(rows).splitlines()
        assert oracle.startswith("oracle per query")
        assert "±" not in oracle

    def test_every_row_has_its_line(self, rows):
        _, _, *body = text_table(rows).splitlines()
        assert [line.split("  ")[0] for line in body] == [row.policy for row in rows]


class TestDraw:
    def test_picture_shows_something(self, tmp_path, toy, traces, rows):
        from matplotlib import image

        path = tmp_path / "demo.png"
        draw(path, table=toy, preference=PREFER, traces=traces, rows=rows)
        assert path.read_bytes().startswith(b"\x89PNG")
        picture = image.imread(path)[..., :3]
        height, width, _ = picture.shape
        assert width > 2 * height > 400
        for half in (picture[:, : width // 2], picture[:, width // 2 :]):
            colours = half.reshape(-1, 3)
            coloured = np.ptp(colours, axis=1) > 0.2  # lines and points, not the grey of frames and letters
            assert 0.0002 < coloured.mean() < 0.5

    def test_other_data_give_another_picture(self, tmp_path, toy, traces, rows):
        paths = [tmp_path / name for name in ("one", "again", "other")]
        for path, shown in zip(paths, (traces, traces, {"learned": traces["other"]}), strict=True):
            draw(path, table=toy, preference=PREFER, traces=shown, rows=rows)
        one, again, other = (path.read_bytes() for path in paths)
        assert one == again
        assert one != other

    def test_single_seed_without_costs_is_drawn(self, tmp_path, make_table):
        table = make_table()
        runs = {"p": [fixed_choice(table, "p", [0])]}
        preference = Preference(quality=1.0)
        draw(tmp_path / "p.png", table=table, preference=preference, traces=runs, rows=references(table, preference))
        assert (tmp_path / "p.png").stat().st_size > 5_000

    @pytest.mark.parametrize("cost", [0.0, np.nan], ids=["free", "unknown"])
    def test_arm_that_is_free_or_of_unknown_cost(self, tmp_path, toy, traces, cost):
        costs = toy.outcomes["cost_usd"].copy()
        costs[:, 0] = cost
        table = replace(toy, outcomes={**toy.outcomes, "cost_usd": costs})
        rows = [summarize(table, PREFER, policy, runs) for policy, runs in traces.items()]
        draw(tmp_path / "p.png", table=table, preference=PREFER, traces=traces, rows=rows)
        assert (tmp_path / "p.png").stat().st_size > 5_000

    def test_frontier_of_free_arms_is_drawn(self, tmp_path, toy, traces):
        table = replace(toy, outcomes={**toy.outcomes, "cost_usd": np.zeros((4, 3))})
        rows = [summarize(table, PREFER, policy, runs) for policy, runs in traces.items()]
        draw(tmp_path / "p.png", table=table, preference=PREFER, traces=traces, rows=rows)
        assert (tmp_path / "p.png").stat().st_size > 5_000

    def test_missing_matplotlib_is_named_with_the_pip_line(self, tmp_path, toy, traces, rows, monkeypatch):
        load = importlib.import_module

        def missing(name, *rest):
            if name.split(".")[0] == "matplotlib":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return load(name, *rest)

        monkeypatch.setattr(importlib, "import_module", missing)
        with pytest.raises(MissingDependencyError, match=r"pip install 'banditroute\[plot\]'"):
            draw(tmp_path / "p.png", table=toy, preference=PREFER, traces=traces, rows=rows)
        assert not (tmp_path / "p.png").exists()
