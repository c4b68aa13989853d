"""Small jobs, as the contract suites have them, on nets of any family."""

from pathlib import Path

from recommender.testing.jobs import card_of, colored, job, plan, sample, whole
from registry.cards import Checkpoint
from tests.registry.encoders.nets import save_net

__all__ = ["checkpoint", "colored", "job", "plan", "sample", "whole"]


def checkpoint(folder: Path, net: str = "resnet") -> Checkpoint:
    return card_of(save_net(folder, net), net)
