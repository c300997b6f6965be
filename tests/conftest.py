"""What holds for every test: no patient in the log, and no example that fails for a machine that is busy."""

import pytest
from hypothesis import HealthCheck, settings

from tests.canary import _no_patient_in_the_log, pytest_configure, pytest_sessionfinish
from tests.certificates import certificates

__all__ = ["_no_patient_in_the_log", "certificates", "pytest_configure", "pytest_sessionfinish"]

settings.register_profile("pacsnode", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pacsnode")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--gcs-bucket` runs what is tested with emulators on a real bucket too, which it fills and empties."""
    parser.addoption("--gcs-bucket", default="", metavar="gs://BUCKET/PREFIX", help="a bucket for tests only")
