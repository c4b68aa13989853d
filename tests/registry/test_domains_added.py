"""A sample becomes a domain: distances to it are measured, its rows are known, and twice is once."""

import pytest

from recommender.requests import AddDomainRequest, SampleRequest
from recommender.service import perform
from registry.errors import AlreadyThere
from registry.zoo import Zoo
from tests.ui.pictures import write_stripes


@pytest.mark.slow
def test_a_folder_becomes_a_domain_that_is_nearest_to_itself(tmp_path, new_home):
    place = write_stripes(tmp_path)
    request = AddDomainRequest(sample=SampleRequest(path=place, keep_duplicates=True), name="bands", family="patterns")
    with Zoo.open(new_home) as zoo:
        known = len(zoo.domains())
        domain = perform(request, zoo)
        assert (domain.name, domain.family, domain.rows) == ("bands", "patterns", 72)
        assert perform(request, zoo) == domain
        assert len(zoo.domains()) == known + 1
        assert len(zoo.rows("bands").keys) == 72
        sketch = zoo.sketch("bands")
        nearest, _ = zoo.near(sketch.rows, 1)[0]
        assert nearest.name == "bands"
        other = write_stripes(tmp_path / "more", rows=12)
        again = AddDomainRequest(sample=SampleRequest(path=other, keep_duplicates=True), name="bands")
        with pytest.raises(AlreadyThere):
            perform(again, zoo)
