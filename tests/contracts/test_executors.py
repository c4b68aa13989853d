import pytest

from recommender.tuning.executors import executors
from tests.contracts.executors import ExecutorContract


@pytest.fixture(params=sorted(executors))
def execute(request):
    return executors[request.param]


class TestExecutors(ExecutorContract):
    pass
