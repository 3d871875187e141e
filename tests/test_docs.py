"""The generated documentation holds what the registry knows."""

import gymnasium as gym
import pytest

from docs import generate
from genenvs.core import registry
from genenvs.core.registry import Declaration

ENV_ID = "genenvs/DocsGrid-v0"
BEGIN, END = "<!-- environments:begin -->", "<!-- environments:end -->"


def test_the_committed_pages_are_what_would_be_generated():
    diffs = generate.stale(generate.wanted())
    assert not diffs, "run `python -m docs.generate` and commit:\n" + "".join(diffs)


@pytest.mark.parametrize("env_id", registry.ids())
def test_every_page_has_its_picture(env_id):
    assert (generate.ROOT / generate.FOLDER / f"{generate.stem(env_id)}.png").stat().st_size > 0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository with one id and a README."""
    monkeypatch.setattr(registry, "_declared", {})
    arguments = {"horizon": 9, "size": 4}
    registry.declare(
        Declaration(ENV_ID, "tests.core.throwaway:Grid", arguments, "covered", "A | grid", "Us")
    )
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\n{END}\n\nMore.\n")
    yield tmp_path
    del gym.registry[ENV_ID]


def test_what_was_written_is_not_stale(folder):
    files = generate.wanted(folder)
    # One id's page and the table of ids, the README, and the pages of their own.
    assert len(generate.stale(files, folder)) == len(files) == 3 + len(generate.PAGES)
    generate.write(files, folder)
    assert generate.stale(generate.wanted(folder), folder) == []


def test_a_page_is_the_docstring_with_its_picture_and_tables(folder):
    text = generate.wanted(folder)[generate.FOLDER / "DocsGrid-v0.md"]
    assert text.startswith(f"{generate.GENERATED}\n\n# {ENV_ID}\n\n![")
    assert "](DocsGrid-v0.png)" in text and "\n## Description\nWalk.\n" in text
    assert "| `horizon` | `9` | the id |" in text


def test_the_table_of_the_readme_leads_to_the_pages_and_leaves_the_rest_alone(folder):
    text = generate.wanted(folder)[generate.README]
    assert text.startswith("# Title\n\n") and text.endswith(f"{END}\n\nMore.\n")
    row = f"| [`{ENV_ID}`](docs/environments/DocsGrid-v0.md) | A \\| grid | Us | not measured |"
    assert row in text


def test_a_changed_page_is_shown_as_a_diff(folder):
    generate.write(generate.wanted(folder), folder)
    page = folder / generate.FOLDER / "DocsGrid-v0.md"
    page.write_text(page.read_text().replace("Walk.", "Run."))
    (diff,) = generate.stale(generate.wanted(folder), folder)
    assert "-Run.\n+Walk.\n" in diff


def test_the_page_of_an_id_that_is_gone_is_stale_and_removed(folder):
    generate.write(generate.wanted(folder), folder)
    old = folder / generate.FOLDER / "Old-v0.md"
    old.write_text(f"{generate.GENERATED}\n")
    (folder / generate.FOLDER / "by_hand.md").write_text("# By hand\n")
    (said,) = generate.stale(generate.wanted(folder), folder)
    assert "Old-v0.md is the page of an id that no longer exists" in said
    generate.write(generate.wanted(folder), folder)
    assert not old.exists() and (folder / generate.FOLDER / "by_hand.md").exists()


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}"])
def test_a_readme_without_its_marks_is_an_error(text):
    with pytest.raises(ValueError, match="must hold"):
        generate.between_marks(text, "table")
