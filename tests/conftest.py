"""What holds for every test: no patient in the log."""

from tests.canary import _no_patient_in_the_log, pytest_configure, pytest_sessionfinish

__all__ = ["_no_patient_in_the_log", "pytest_configure", "pytest_sessionfinish"]
