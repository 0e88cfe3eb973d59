"""One thread for short parallel calls, and the threads given back whatever happens."""

import numba
import pytest

from fusion.threads import single_thread


def test_inside_one_thread_and_after_as_before():
    before = numba.get_num_threads()
    with single_thread():
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
    with single_thread(when=False):
        assert numba.get_num_threads() == before


def test_threads_come_back_after_an_error():
    before = numba.get_num_threads()
    with pytest.raises(ZeroDivisionError), single_thread():
        raise ZeroDivisionError
    assert numba.get_num_threads() == before
