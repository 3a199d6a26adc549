"""What pytest must not import."""

collect_ignore_glob = [
    "banditroute/store/sql/migrations/env.py",  # runs inside Alembic only
    "tests/*conftest.py",  # as modules with doctests: they have one name, and fixtures are found without
]
