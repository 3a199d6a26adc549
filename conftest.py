"""What pytest must not import."""

collect_ignore_glob = ["banditroute/store/migrations/env.py"]  # runs inside Alembic only
