"""The explanation of a decision, arm by arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from banditroute.core.decision import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmExplanation:
    """One row of an :class:`Explanation`.

    Attributes
    ----------
    probability, utility, utility_std, penalty
        As in :class:`Decision`.
    predictions
        Objective -> (expected outcome, standard deviation of that expectation), in the objective's unit.
    """

    arm: str
    probability: float
    utility: float
    utility_std: float
    penalty: float
    predictions: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a decision named its arm; its ``str`` is a table, the chosen arm first.

    Attributes
    ----------
    decision
        The decision that is explained.
    rows
        One for each eligible arm, in the order of ``decision.ranking``.

    Examples
    --------
    >>> from banditroute import Router
    >>> print(Router(arms=["small", "large"], features=1).route([0.5], exclude=["large"]).explain())
    small with probability 1.000 by ThompsonSampling (reason: policy), Preference(quality=1)
    arm    probability  utility      penalty  quality
    small  1.000        0.5 ± ...    0        0.5 ± ...
    large is not eligible (request: arms= or exclude= leaves it out)
    """

    decision: Decision = field(repr=False)
    rows: tuple[ArmExplanation, ...]

    @property
    def excluded(self) -> Mapping[str, str]:
        """Arm -> why it was not eligible; see :class:`Decision`."""
        return self.decision.excluded

    def __repr__(self) -> str:
        return f"Explanation(of {self.decision!r})"

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        return f"<pre>{escape(str(self))}</pre>"

    def __str__(self) -> str:
        decision = self.decision
        head = ["arm", "probability", "utility", "penalty", *decision.objectives]
        body = [
            [
                row.arm,
                f"{row.probability:.3f}",
                f"{row.utility:.4g} ± {_two_digits(row.utility_std)}",
                f"{row.penalty:.4g}",
                *(f"{mean:.4g} ± {_two_digits(std)}" for mean, std in row.predictions.values()),
            ]
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in [head, *body]
        ]
        return "\n".join(
            [
                f"{decision.arm} with probability {decision.propensity:.3f} by {decision.policy.partition('(')[0]} "
                f"(reason: {decision.reason}), {decision.preference}",
                *lines,
                *(f"{arm} is dominated: not even the best quality is worth its cost" for arm in decision.dominated),
                *(f"{arm} is not eligible ({why})" for arm, why in decision.excluded.items()),
                *([] if decision.turn is None else [str(decision.turn)]),
            ]
        )


def _two_digits(std: float) -> str:
    """Return a standard deviation with two digits, and without an exponent where it is large."""
    return f"{std:.0f}" if 99.5 <= std < 1e6 else f"{std:.2g}"


def explain(decision: Decision) -> Explanation:
    """Return the predictions at the time of a decision; see :meth:`Decision.explain`."""
    rows = []
    for name in decision.ranking:
        k = decision.arms.index(name)
        rows.append(
            ArmExplanation(
                arm=name,
                probability=float(decision.probabilities[k]),
                utility=float(decision.utilities[k]),
                utility_std=float(decision.utility_stds[k]),
                penalty=float(decision.penalties[k]),
                predictions={
                    objective: (float(decision.means[j, k]), float(decision.stds[j, k]))
                    for j, objective in enumerate(decision.objectives)
                },
            )
        )
    return Explanation(decision=decision, rows=tuple(rows))
