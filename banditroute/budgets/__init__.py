"""Budgets: what may be spent, what open decisions reserve, and the shadow price that keeps to it."""

from banditroute.budgets.budget import Budget, BudgetStatus

__all__ = ["Budget", "BudgetStatus"]
