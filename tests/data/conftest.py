import pytest

from striate.data.layouts import open_source
from striate.errors import DataError
from striate.tasks.task import task_of


@pytest.fixture
def refusal():
    """A function: in what words some data are refused, which it makes sure of."""

    def said(data):
        with pytest.raises(DataError) as caught:
            source = open_source(data)
            task_of(source.listing.items).check_learnable(source.listing.items, source.name)
        assert str(data) in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    return said
