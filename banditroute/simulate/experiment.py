"""Experiments: policies compared on a log or an environment, in one setting or many, and what came out as files."""

from __future__ import annotations

import csv
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.validation import shown
from banditroute.errors import InvalidConfigurationError
from banditroute.features import TextFeatures
from banditroute.learners import Learner
from banditroute.learners.specs import learner_of
from banditroute.logs import SHIPPED, OutcomeTable, read_outcomes
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import check_preference, merge_objectives
from banditroute.pricing import read_prices
from banditroute.simulate.cascades import CascadeRow, compare_cascades
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.environments import ENVIRONMENTS, Environment
from banditroute.simulate.expected_costs import expected_costs
from banditroute.simulate.metrics import Row
from banditroute.simulate.plots import cascade_table, std_table
from banditroute.simulate.replay import Expected
from banditroute.simulate.simulation import simulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The preference and conditions under which policies are compared.

    Parameters
    ----------
    name
        What it is called in the results. Default: its preference.
    preference, conditions
        As in :func:`~banditroute.simulate.replay.replay`.
    """

    name: str = ""
    preference: Preference = field(default_factory=lambda: Preference(quality=1.0))
    conditions: Conditions = field(default_factory=Conditions)

    def __post_init__(self) -> None:
        given: Mapping[str, float] = self.preference
        if not isinstance(given, Preference):
            object.__setattr__(self, "preference", Preference(**given))
        object.__setattr__(self, "name", self.name or str(self.preference))


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A comparison of policies: learners, data, seeds and settings.

    Parameters
    ----------
    environment
        What they are replayed on.
    learners
        Name -> learner, at least one.
    seeds
        How many orders of the requests, at least 1.
    warm
        As in :func:`~banditroute.simulate.replay.replay`.
    settings
        At least one.
    objectives
        The user's own objectives.
    expected
        As in :func:`~banditroute.simulate.replay.replay`.
    """

    environment: Environment
    learners: Mapping[str, Learner]
    seeds: int
    warm: int
    settings: Sequence[Setting]
    objectives: Sequence[Objective] = ()
    expected: Expected = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Experiment:
        """Make an experiment from names and numbers, as a TOML file gives them.

        Parameters
        ----------
        given
            ``log``, a path, with ``format``, ``columns``, ``skip_bad`` and ``partial``, as
            :func:`~banditroute.logs.read_outcomes` takes them, or ``environment``, a table of a ``name`` in
            :data:`~banditroute.simulate.ENVIRONMENTS` and its options; without either, the shipped log.
            ``policies``, a list of specs such as ``"linucb(alpha=1.5)"``, learners, or their tables; ``seeds``, 20 by
            default, and
            ``warm``, 0; ``objectives``, a list of objectives or of tables with the options of
            :class:`~banditroute.objectives.Objective`; ``settings``, a list of tables of a ``name``, ``preference``
            (objective -> weight) and ``conditions`` (see :meth:`Conditions.of`); ``prices``, ``"log"`` or a file of
            token prices: routers know the expected cost of each arm (see :func:`expected_costs`).

        Raises
        ------
        InvalidConfigurationError
            If a name is unknown, a value is of another kind, or a part refuses it; it names all mistakes.
        InvalidInputError
            If the log cannot be read, or a preference names an unknown objective.
        """
        from banditroute.config.parts import PARTS

        objectives = [
            {"higher_is_better": True, **each} if isinstance(each, Mapping) else each
            for each in given.get("objectives", ())
        ]
        tables = {**given, "objectives": objectives}
        return _experiment(**PARTS.read_arguments(_experiment, tables, extra={}, source="the experiment"))


def read_settings(path: Path) -> dict[str, Any]:
    """Read the names and numbers in a TOML file.

    Raises
    ------
    InvalidConfigurationError
        If it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfigurationError(f"{path} cannot be read as TOML: {error}") from error


def run(experiment: Experiment, *, out: Path, executor: str, echo: Callable[[str], None]) -> dict[str, list[Row]]:
    """Replay every policy, seed and setting that is not done yet; print a table for each setting and write the figures.

    Parameters
    ----------
    out
        Folder of ``results.csv``, ``results.json`` and, in ``cells``, of what is done; made if it is not there.
    executor
        As in :func:`~banditroute.simulate.sweep.sweep`.
    echo
        Prints a line.

    Returns
    -------
    dict
        Name of the setting -> its lines.
    """
    results = {}
    for setting in experiment.settings:
        setting.conditions.check(experiment.environment.table)  # all of them, before the first takes its time
    for setting in experiment.settings:
        table, x = experiment.environment
        found = simulate(
            table,
            experiment.learners,
            preference=setting.preference,
            objectives=experiment.objectives,
            seeds=experiment.seeds,
            warm=experiment.warm,
            conditions=setting.conditions,
            features=x,
            expected=experiment.expected,
            keep=out / "cells",
            executor=executor,
        )
        results[setting.name] = rows = list(found.rows)
        title = ": ".join(
            dict.fromkeys([setting.name, str(setting.preference)])
        )  # one is not named: it is its preference
        echo(f"{title}, {experiment.seeds} seeds\n\n{std_table(rows)}\n")
    echo("mean, std and worst: of the utility per request, over seeds. regret: utility lost over the pass against the")
    echo("best single arm in hindsight (negative: gained). best arm per task and oracle know what no router knows.")
    _write(experiment, results, out)
    return results


def run_cascades(
    experiment: Experiment, judge: str, *, out: Path, echo: Callable[[str], None]
) -> dict[str, list[CascadeRow]]:
    """Compare cascades with what they compete with in every setting; print a table for each, and write the figures.

    Parameters
    ----------
    judge
        As in :func:`~banditroute.simulate.cascades.compare_cascades`.
    out
        Folder of ``cascades.csv``; made if it is not there.
    echo
        Prints a line.

    Returns
    -------
    dict
        Name of the setting -> its lines.
    """
    results = {}
    lines: list[list[Any]] = [["setting", "policy", "metric", "mean", "std", "worst", "n"]]
    for setting in experiment.settings:
        results[setting.name] = rows = compare_cascades(
            experiment.environment,
            experiment.learners,
            judge=judge,
            preference=setting.preference,
            seeds=experiment.seeds,
        )
        echo(f"{setting.name}, judge {judge}, {experiment.seeds} seeds\n\n{cascade_table(rows)}\n")
        for row in rows:
            for metric in ("utility", "quality", "cost_usd", "calls"):
                each = getattr(row, metric)
                lines.append([setting.name, row.policy, metric, each.mean, each.std, each.worst, each.n])
    echo("mean, std and worst: of the utility per request, over seeds; all calls of a request are charged.")
    out.mkdir(parents=True, exist_ok=True)
    with (out / "cascades.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return results


def _experiment(
    *,
    log: str | os.PathLike[str] | None = None,
    environment: Mapping[str, Any] | None = None,
    policies: Sequence[str | Learner] = ("linucb", "thompson"),
    seeds: int = 20,
    warm: int = 0,
    settings: Sequence[Setting] = (Setting(),),
    objectives: Sequence[Objective] = (),
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    partial: bool = False,
    prices: str | None = None,
) -> Experiment:
    """Make an experiment; the parameters are the names that its file may have."""
    for name, count in {"policies": len(policies), "settings": len(settings), "seeds": seeds}.items():
        if count < 1:
            raise InvalidConfigurationError(f"{name} is {count or '[]'}; give at least one")
    for setting in settings:
        check_preference(setting.preference, merge_objectives(objectives))
    if len({each.name for each in settings}) < len(settings):
        raise InvalidConfigurationError("two settings have one name; give each a name of its own")
    reading = {"format": format, "columns": columns, "skip_bad": skip_bad, "partial": partial}
    reading = {name: value for name, value in reading.items() if value}
    if environment is not None and (log is not None or reading):
        raise InvalidConfigurationError("an experiment is on a log or in an environment; give one of them")
    world = _logged(log or SHIPPED, reading) if environment is None else _environment(environment)
    return Experiment(
        environment=world,
        learners={str(each): learner_of(each) if isinstance(each, str) else each for each in policies},
        seeds=seeds,
        warm=warm,
        settings=settings,
        objectives=objectives,
        expected=_expected(world.table, prices),
    )


def _logged(log: str | os.PathLike[str], reading: Mapping[str, Any]) -> Environment:
    table = read_outcomes(log, **reading)
    return Environment(table, TextFeatures().transform([Request(text=prompt) for prompt in table.prompts]))


def _environment(given: Mapping[str, Any]) -> Environment:
    options = dict(given)
    try:
        return ENVIRONMENTS[options.pop("name")](**options)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidConfigurationError(
            f"environment {shown(given)} cannot be made ({error}); give the name ({', '.join(ENVIRONMENTS)}) "
            "and its options n, arms, features, noise, seed"
        ) from error


def _expected(table: OutcomeTable, prices: str | None) -> Expected:
    if prices is None:
        return {}
    return expected_costs(table, None if prices == "log" else read_prices(prices))


def _write(experiment: Experiment, results: Mapping[str, Sequence[Row]], out: Path) -> None:
    table, _ = experiment.environment
    document = {
        "log": table.name,
        "requests": len(table) - experiment.warm,
        "policies": {spec: repr(learner) for spec, learner in experiment.learners.items()},
        "expected": experiment.expected,
        "seeds": experiment.seeds,
        "warm": experiment.warm,
        "settings": [
            {
                "name": setting.name,
                "preference": setting.preference.as_dict(),
                "conditions": asdict(setting.conditions),
                "rows": [asdict(row) for row in results[setting.name]],
            }
            for setting in experiment.settings
        ],
    }
    (out / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    with (out / "results.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["setting", "policy", "metric", "mean", "std", "worst", "n"])
        for setting_name, rows in results.items():
            for row in rows:
                for metric, each in {**row.objectives, "utility": row.utility, "regret": row.regret}.items():
                    lines.writerow([setting_name, row.policy, metric, each.mean, each.std, each.worst, each.n])
