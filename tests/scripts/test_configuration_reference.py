"""The reference page of a router's file is the one that the schema gives."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location(
        "configuration_reference", ROOT / "scripts/configuration_reference.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python scripts/configuration_reference.py"
    assert "[LinUCB](#linucb)" in script.page()
