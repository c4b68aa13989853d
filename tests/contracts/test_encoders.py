import pytest

from registry.encoders import open_encoder
from tests.contracts.encoders import EncoderContract
from tests.registry.encoders.nets import NETS, pictures, save_net, some_quick


@pytest.fixture(scope="module", params=some_quick(NETS))
def encoder(request, tmp_path_factory):
    return open_encoder(save_net(tmp_path_factory.mktemp(request.param), request.param))


@pytest.fixture
def items():
    return pictures(5)


class TestImageEncoders(EncoderContract):
    pass
