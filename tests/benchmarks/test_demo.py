"""The demo leaves something readable however it ends."""

import json

import pytest

from benchmarks import demo


def read(folder):
    return json.loads((folder / "report.json").read_text())


def test_an_interrupted_demo_leaves_a_readable_report(tmp_path, monkeypatch, capsys):
    def run(folder, steps, episodes, report):
        with report.stage("load"):
            pass
        with report.stage("train"):
            raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr("sys.argv", ["demo", "--out", str(tmp_path)])
    assert demo.main() == 130
    found = read(tmp_path)
    assert found["interrupted"] and not found["finished"]
    assert set(found["stages"]) == {"load", "train"}
    assert "report.json" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch, capsys):
    taken = tmp_path / "demo"
    taken.write_text("a file")
    monkeypatch.setattr("sys.argv", ["demo", "--out", str(taken)])
    assert demo.main() == 1
    assert "cannot be written" in capsys.readouterr().err
    assert taken.read_text() == "a file"


def test_a_full_disk_keeps_the_last_report(tmp_path, monkeypatch, capsys):
    def run(folder, steps, episodes, report):
        report.save(agents={"0.02": "measured"})
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr("sys.argv", ["demo", "--out", str(tmp_path)])
    assert demo.main() == 1
    assert read(tmp_path)["agents"] == {"0.02": "measured"}
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("steps", ["0", "-5", "many"])
def test_wrong_steps_are_a_usage_error(steps, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["demo", "--out", str(tmp_path), "--steps", steps])
    with pytest.raises(SystemExit) as stopped:
        demo.main()
    assert stopped.value.code == 2


@pytest.mark.slow
def test_the_short_demo_draws_both_pictures(tmp_path, monkeypatch):
    arguments = ["demo", "--short", "--steps", "2048", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert demo.main() == 0
    found = read(tmp_path)
    assert found["finished"] and len(found["agents"]) == 3
    assert {p["family"] for p in found["points"]} >= {"learned", "uniform", "UniPC"}
    for name in ("samples.png", "pareto.png"):
        assert (tmp_path / name).stat().st_size > 10_000
