"""Errors of the library in the words of the command line."""

from __future__ import annotations

import re

_WORDS = {
    r"read it with read_outcomes\(\)": "use it with banditroute simulate, report or diagnose",
    r"read it with read_log\(\)": "use it with banditroute evaluate, report or diagnose",
    r"\bskip_bad=True": "--skip-bad",
    r"\bpartial=True": "--partial",
    r"\blearning=False": "--frozen",
    r"\blearning='progressive'": "--progressive",
    r"\blearning=True": "neither --frozen nor --progressive",
    r"\bdecision_id=": "--decision",
    r"\bcolumns=": "--column",
    r"\bRouter\(objectives=\[Objective\(\.\.\.\)\]\)": "--objective NAME",
    r"\bobjectives=\[Objective\(\.\.\.\)\]": "--objective NAME",
    r"\b(format|router|session|source|preference|seed|missing|features|policy|against)=(?=[\s,;.()]|$)": r"--\1",
    r"\bPreference\(([\w=., ]+)\)": r"--preference \1",
}
"""Pattern of the library's words -> those of the command line."""


def on_the_command_line(message: str) -> str:
    """Return a message with options in place of Python's arguments.

    Examples
    --------
    >>> on_the_command_line("say with columns= which column holds which value")
    'say with --column which column holds which value'
    """
    for pattern, words in _WORDS.items():
        message = re.sub(pattern, words, message)
    return message
