"""The format of a submission: what it refuses, and that its schema is published."""

import json

import pytest

from benchmarks.leaderboard import submission

from .leaderboard_examples import make, table


def encoded(content) -> bytes:
    return json.dumps(content).encode()


def test_the_published_schema_is_that_of_the_models():
    assert submission.SCHEMA.read_text() == submission.schema()


def test_a_file_is_short_and_its_text_unchanged():
    text = "[\n 1,\n  2\n] {\n a: [ 1,   2 ] }"
    made = make(notes=text)
    content = submission.dump(made)
    assert submission.parse(content.encode(), "a.json") == made
    assert '{"steps": 409, "mean_return":' in content and len(content.splitlines()) < 150


@pytest.mark.parametrize("agent", ["ppo", "random"])
def test_what_is_written_is_read_again(tmp_path, agent):
    made = make(agent)
    submission.write(made, tmp_path / "core" / "a.json")
    assert submission.read(tmp_path / "core" / "a.json") == made


def changed(*places, value):
    found = table()
    inner = found
    for place in places[:-1]:
        inner = inner[place]
    inner[places[-1]] = value
    return found


BAD = {
    "a key that there is not": (changed("extra", value=1), "extra"),
    "text for a number": (changed("runs", 0, "seed", value="0"), "runs.0.seed"),
    "a huge number": (changed("runs", 0, "score", "mean", value=1e300), "runs.0.score.mean"),
    "a huge whole number": (changed("training", "steps", value=10**40), "training.steps"),
    "a negative deviation": (changed("runs", 0, "score", "std", value=-1.0), "score.std"),
    "a path for a policy": (
        changed("runs", 0, "weights", "file", value="../../secret.safetensors"),
        "weights.file",
    ),
    "a folder in a policy's name": (
        changed("runs", 0, "weights", "file", value="a/b.safetensors"),
        "weights.file",
    ),
    "a pickle for a policy": (changed("runs", 0, "weights", "file", value="a.zip"), "file"),
    "a path for a name": (changed("name", value="../ppo"), "name"),
    "markup for a name": (changed("name", value="<b>ppo</b>"), "name"),
    "an id that is none": (changed("environment", "id", value="javascript:x"), "environment.id"),
    "control characters": (changed("author", value="a\x1b[2Jb"), "author"),
    "an agent that looks like another": (
        changed("agent", "name", value="\u0440po"),
        r"agent.name: .* plain ASCII.*'.u0440po'",
    ),
    "an agent with a letter that nobody sees": (
        changed("agent", "name", value="ppo\u3164"),
        "agent.name: .* plain ASCII",
    ),
    "half a character": (changed("notes", value="\ud800"), "notes"),
    "half a character in a configuration": (changed("config", value={"a": "\ud800"}), "config"),
    "endless text": (changed("notes", value="x" * 10_000), "notes"),
    "a learner without training": (changed("training", value=None), "training"),
    "no run at all": (changed("runs", value=[]) | {"summary": None}, "at least one run"),
    "runs without a summary": (changed("summary", value=None), "summary"),
    "another format": (changed("format", value=2), "format 1"),
    "no table": ([], "must hold a table"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_what_is_wrong_is_named(case):
    content, place = BAD[case]
    with pytest.raises(ValueError, match=place) as told:
        submission.parse(encoded(content), "a.json")
    assert str(told.value).startswith("a.json") and len(str(told.value)) < 1_000


@pytest.mark.parametrize(
    "content",
    [
        encoded(table())[:-100],
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1, "format": 1}',
        encoded(table()).replace(b"0.1}", b"NaN}").replace(b"0.1,", b"NaN,"),
        encoded(table())
        .replace(b"0.1}", b"1" * 5_000 + b"}")
        .replace(b"0.1,", b"1" * 5_000 + b","),
    ],
    ids=["truncated", "empty", "no text", "nested", "twice", "nan", "thousands of digits"],
)
def test_no_json_is_said_so(content):
    with pytest.raises(ValueError, match="no JSON"):
        submission.parse(content, "a.json")


def test_keys_are_looked_at_once_however_many_there_are():
    class Key(str):
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other):
            Key.compared += 1
            return str.__eq__(self, other)

    pairs = [(Key(k), k) for k in range(1_000)]
    with pytest.raises(ValueError, match="the key '999' stands twice"):
        submission._no_doubles([*pairs, (Key("999"), 0)])
    assert Key.compared < 10 * len(pairs)


def test_a_configuration_may_not_be_nested_without_end():
    deep: dict = {}
    for _ in range(50):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested at most"):
        submission.parse(encoded(table() | {"config": deep}), "a.json")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "LARGEST", 100)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(table()))
    with pytest.raises(ValueError, match="at most 100 bytes"):
        submission.read(path)


def test_markup_in_free_text_is_kept_as_it_is():
    text = "<script>alert(1)</script> & 'quotes'"
    assert make(author=text, notes=text).author == text
