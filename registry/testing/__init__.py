"""Contract suites that an author of a plug-in runs on it: a base class of tests to inherit from, under pytest."""

from registry.testing.modality import ModalityContract

__all__ = ["ModalityContract"]
