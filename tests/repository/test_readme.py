"""What README shows is there."""

import re
from pathlib import Path

import pytest

from tests.needs import needs

ROOT = Path(__file__).resolve().parents[2]


def test_every_file_that_a_page_links_to_exists():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]
    missing = []
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert len(pages) > 8 and not missing


def test_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text and "make test" in text


@pytest.mark.slow
@needs("stable_baselines3", extra="sb3")
def test_the_twenty_lines_run(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import gymnasium.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) <= 26
    exec(compile(code.replace("20_000", "256"), "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()[-1].split("[")) == 3  # two intervals
