import time

from ecoserve_devcluster import progress


def test_without_a_terminal_a_line_with_the_elapsed_time_comes_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL_SECONDS", 0.02)
    shown = ""
    with progress.elapsed_progress("first") as report:
        report("building helm [1 of 2]")
        deadline = time.monotonic() + 5
        while "building" not in shown and time.monotonic() < deadline:
            time.sleep(0.02)
            captured = capsys.readouterr()
            assert captured.out == ""
            shown += captured.err
    assert "building helm [1 of 2] (0 s)" in shown
