"""The IEEE European low-voltage test feeder for tests that compare with OpenDSS."""

import pytest

from node.bench.lv_feeder import data_folder, read


@pytest.fixture(scope="session")
def lv_feeder():
    """Return the test feeder and what OpenDSS computed for its day."""
    folder = data_folder()
    if folder is None:
        pytest.skip("the IEEE feeder is not shipped; set SYMGRID_DATA")
    return read(folder)
