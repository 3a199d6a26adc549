import re

import pytest

from scripts.pages import alike, blocks_of, run, with_output


def test_blocks_share_one_namespace(tmp_path):
    page = "# T\n\n```python\na = 1\n```\n\n- item\n\n  ```python\n  b = a + 1\n  ```\n\n```sh\nfalse\n```\n\n"
    page += f"```python\nassert b == 2\nopen({str(tmp_path / 'out')!r}, 'w').close()\n```\n"
    assert len(run(page, "page")) == 3
    assert (tmp_path / "out").exists()


def test_failing_block_has_the_line_of_the_page():
    with pytest.raises(ZeroDivisionError) as caught:
        run("text\n\n```python\n\n1 / 0\n```\n", "page.md")
    assert "'page.md':5 in" in str(caught.traceback[-1])


def test_block_that_warns_fails():
    with pytest.raises(DeprecationWarning):
        run("```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```", "page")


def test_block_is_left_out_only_by_the_comment_right_before_it():
    failing = "```python\n1 / 0\n```"
    assert run(f"<!-- not run: needs a key -->\n{failing}", "page") == []
    for other in ("<!-- not run: far -->\n\n", "<!-- later -->\n", "<!-- run: demo -->\n"):
        with pytest.raises(ZeroDivisionError):
            run(other + failing, "page")


def test_block_that_is_never_closed():
    with pytest.raises(AssertionError, match="line 1: the block is never closed"):
        blocks_of("```python\n1\n")


def test_longer_fence_holds_a_shorter_one():
    (block,) = blocks_of("````text\n```python\n1 / 0\n```\n````")
    assert (block.language, block.code) == ("text", "```python\n1 / 0\n```")


PAGE = """# T

```python
print(1 + 1)
```

prints

<!-- output -->
```text
OLD
```

<!--
```python
import pathlib

pathlib.Path("mistake.toml").write_text("arms = 1")
```
-->

```console
$ banditroute check mistake.toml
nothing
```
"""


def test_page_gets_the_output_of_its_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = with_output(PAGE, "page")
    assert "```text\n2\n```" in page
    assert re.search(r"\$ banditroute check mistake.toml\n.*arms.*\n```", page), page
    assert "nothing" not in page
    assert with_output(page, "page") == page


def test_console_block_runs_banditroute_alone():
    with pytest.raises(AssertionError, match="runs banditroute alone"):
        run("```console\n$ rm x\n```", "page")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a  1.00 of 2", "a 1.01 of 2.0", True),
        ("a 1.2", "a 1.4", False),
        ("a 1", "b 1", False),
        ("a 1", "a 1 2", False),
        (
            "id 01a22fdef8e0ddfb41a45b1756584ea7 at 2026-12-01T04:31:11+00:00",
            "id 11a22fdef8e0ddfb41a45b1756584ea7 at 2027-01-01 04:31:11.5+00:00",
            True,
        ),
        ("for 0.0 s", "for 7.25 s", True),
    ],
)
def test_alike_ignores_rounding_ids_and_times(one, other, same):
    assert alike(one, other) is same
