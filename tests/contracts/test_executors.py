import pytest

from recommender.runs.executors import executors
from recommender.testing.executors import ExecutorContract


@pytest.fixture(params=sorted(executors))
def execute(request):
    return executors[request.param]


@pytest.mark.slow
class TestExecutors(ExecutorContract):
    pass
