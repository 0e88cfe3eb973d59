"""The comparison of sequential grades with ranks made anew runs, and both tell the same where nothing drifts."""

import numpy as np
import pytest

from scripts import compare_grades


def test_both_kinds_of_ranks_agree_where_nothing_drifts(capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(3)
    noise, x = draw.standard_normal((2, 200, 60))
    sequential, anew = compare_grades.p_values(x, 0.03 * x + noise)
    assert sequential == pytest.approx(anew, rel=0.2)
    assert compare_grades.main(["--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:24].strip() for line in lines[1:]] == list(compare_grades.DRIFTS)
