"""Items are opened by as many threads as a process has cores for, and alike by none; small products have one."""

import threading

import pytest
from threadpoolctl import threadpool_info

from registry import threads
from registry.threads import Cores, few_threads, prepared, prepared_ahead


@pytest.fixture(params=[None, 0.5, 1.0, 2.0])
def share(request, monkeypatch):
    monkeypatch.setattr(Cores, "share", request.param)
    return request.param


def test_what_is_prepared_comes_in_order_whoever_prepares_it(share):
    assert list(prepared(lambda item: 2 * item, range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert list(prepared_ahead(lambda item: 2 * item, range(7), 3)) == [[0, 2, 4], [6, 8, 10], [12]]
    assert list(prepared_ahead(lambda item: item, [], 3)) == []


def test_a_share_of_less_than_two_cores_has_no_threads_beside_the_one_that_works(share):
    who = {*prepared(lambda _: threading.current_thread(), range(9))}
    who |= {one for lot in prepared_ahead(lambda _: threading.current_thread(), range(9), 3) for one in lot}
    assert (who == {threading.main_thread()}) == (share in {0.5, 1.0})


def test_what_cannot_be_prepared_is_raised(share):
    for all_of in (prepared, lambda prepare, items: prepared_ahead(prepare, items, 2)):
        with pytest.raises(ZeroDivisionError):
            list(all_of(lambda item: 1 // item, [1, 0]))


@pytest.mark.parametrize(("products", "limit"), [(10**6, 1), (10**9, 8)])
def test_few_products_are_added_up_by_one_thread_and_many_by_half_of_the_cores(monkeypatch, products, limit):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 16)
    threads._threadpools.cache_clear()  # other tests may have loaded libraries since
    before = _of_blas()
    with few_threads(products):
        assert set(_of_blas()) == {limit}
    assert _of_blas() == before


def _of_blas() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
