import subprocess
import sys

import pytest

from recommender.strategies import strategies
from recommender.testing.strategies import StrategyContract
from registry.errors import UnknownName


@pytest.fixture(params=sorted(strategies))
def name(request):
    return request.param


@pytest.fixture
def strategy(name):
    return strategies[name]


class TestStrategies(StrategyContract):
    @pytest.fixture
    def modality(self, name):
        return "text" if name == "domain-adaptive" else "image"


def test_a_misspelt_strategy_gets_a_hint():
    with pytest.raises(UnknownName) as caught:
        strategies["lp_ft"]
    assert "lp-ft" in caught.value.remedy


def test_no_strategy_loads_torch():
    code = (
        "import sys; from recommender.strategies import strategies; from recommender.strategies.cost import estimate;"
        "[strategies[name] for name in strategies];"
        "print(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
