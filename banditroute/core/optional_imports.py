"""Optional packages: imported where they are used, missed with the line that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from banditroute.errors import MissingDependencyError


def optional(module: str, *, extra: str) -> ModuleType:
    """Import ``module``, or say which extra brings it.

    Raises
    ------
    MissingDependencyError
        If the module's package is not installed.

    Examples
    --------
    >>> optional("math", extra="none").sqrt(4.0)
    2.0
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise  # the package is there; something inside it is broken, and that must be seen
        raise MissingDependencyError(
            f"{module} is not installed; run: pip install 'banditroute[{extra}]'", name=error.name
        ) from error
