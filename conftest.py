"""What pytest must not import, and what its garbage collector need not look at."""

import gc
from importlib.util import find_spec

collect_ignore_glob = [
    "banditroute/store/sql/migrations/env.py",  # runs inside Alembic only
    "tests/*conftest.py",  # as modules with doctests: they have one name, and fixtures are found without
    "tests/typing/*.py",  # for type checkers; they import frameworks that need not be there
]

# The frameworks behind extras: without one, the doctests of its file are left out.
_FRAMEWORKS = {"langchain_core": "langchain", "litellm": "litellm", "pydantic_ai": "pydantic_ai"}
collect_ignore_glob += [
    f"banditroute/integrations/{file}.py" for package, file in _FRAMEWORKS.items() if find_spec(package) is None
]

gc.disable()  # while it collects: what it imports and finds stays to the end


def pytest_collection_finish() -> None:
    """Leave all that was imported out of later garbage collections: they would look at millions of objects."""
    gc.freeze()
    gc.enable()
