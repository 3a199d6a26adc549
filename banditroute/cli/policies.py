"""Policies that a command line names: arms, learners, and classes of the user's own modules."""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
from typing import Any

from banditroute.errors import InvalidConfigurationError
from banditroute.learners import Learner
from banditroute.policies import LearningPolicy, Policy

_OF_A_MODULE = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_][\w.]*)(?P<options>\(.*\))?", re.DOTALL)


def policy_of(text: str) -> str | Learner:
    """Return the learner that ``module:Name`` or ``module:Name(option=value)`` names; any other text as it is.

    The name is that of a policy or a learner, or of a class or function that makes one. The module is looked for in
    the present folder, too. Only the command line takes such names; a file of settings cannot import code.

    Raises
    ------
    InvalidConfigurationError
        If the module or the name cannot be found, or is no policy.
    """
    found = _OF_A_MODULE.fullmatch(text.strip())
    if found is None:
        return text
    thing = _imported(found["module"], found["name"], text)
    if isinstance(thing, type) or (callable(thing) and not isinstance(thing, Learner)) or found["options"]:
        try:
            thing = thing(**_options(found["options"] or "()"))
        except (SyntaxError, TypeError, ValueError) as error:
            raise InvalidConfigurationError(f"{text[:80]!r} cannot be made ({str(error)[:200]})") from error
    if isinstance(thing, Learner):
        return thing
    if isinstance(thing, Policy | LearningPolicy):
        return Learner(policy=thing)
    raise InvalidConfigurationError(
        f"{text[:80]!r} is a {type(thing).__name__}; give a policy, which has probabilities(), or a Learner"
    )


def _imported(module: str, name: str, text: str) -> Any:
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        thing: Any = importlib.import_module(module)
        for part in name.split("."):
            thing = getattr(thing, part)
    except (ImportError, AttributeError) as error:
        raise InvalidConfigurationError(
            f"{text[:80]!r} cannot be found ({str(error)[:200]}); give MODULE:NAME, as in mypolicies:TopTwo"
        ) from error
    return thing


def _options(text: str) -> dict[str, Any]:
    call = ast.parse(f"f{text}", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError("options need a name")
    return {str(option.arg): ast.literal_eval(option.value) for option in call.keywords}
