"""Small bitemporal tables with late rows, revisions, ties and gaps, drawn by hypothesis."""

import numpy as np
from hypothesis import strategies as st

_few = st.integers(0, 6)


@st.composite
def tables(draw):
    """Arguments of align.gather_map: one to three segments of up to eight rows and six decisions, on a clock of seven
    ticks, so that ties and revisions are the rule; events may lie before, at or after the time they become known."""
    known, event, at, offsets, at_offsets = [], [], [], [0], [0]
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(st.lists(st.tuples(_few, st.integers(-3, 8)), max_size=8))
        rows.sort(key=lambda row: row[0])
        known += [row[0] for row in rows]
        event += [row[1] for row in rows]
        at += sorted(draw(st.lists(st.integers(-1, 8), max_size=6)))
        offsets.append(len(known))
        at_offsets.append(len(at))
    columns = [np.array(column, np.int64) for column in (known, event, offsets, at, at_offsets)]
    return *columns, draw(st.sampled_from([0, 1, 2, 5, 2**63 - 1]))
