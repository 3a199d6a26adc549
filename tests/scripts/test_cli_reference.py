"""The script that writes the reference of the command line, and the page that it wrote."""

from scripts.cli_reference import PAGE, page


def test_page_is_what_the_commands_say_now():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python scripts/cli_reference.py"


def test_every_command_has_a_section():
    text = page()
    for name in ("demo", "simulate", "evaluate", "report", "inspect", "db", "db erase"):
        assert f"## banditroute {name}\n" in text
