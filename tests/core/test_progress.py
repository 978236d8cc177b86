"""Progress away from a terminal."""

import pytest

from graft.core.progress import progress_bar


def test_away_from_a_terminal_one_line_tells_when_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("images", 3) as advance:
        advance(3)
        assert capsys.readouterr().out == ""
    assert capsys.readouterr().out.startswith("images: 3 in ")


def test_work_that_failed_is_not_reported_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), progress_bar("images", 3):
        raise ValueError("broken")
    assert capsys.readouterr().out == ""
