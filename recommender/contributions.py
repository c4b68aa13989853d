"""What moves an expectation away from a probe, in words."""

from collections.abc import Mapping

__all__ = ["contribution_words", "worded"]

_WORTH_A_WORD = 0.002
"""Points of a score below which a contribution is not worth a word."""
_WORDS: Mapping[str, tuple[str, str]] = {
    "level": ("how well the sample is read at all", "how well the sample is read at all"),
    "no transfer": ("no transfer scores high beside the probes", "no transfer scores low beside the probes"),
    "body": ("its architecture is read better than others", "its architecture is read worse than others"),
    "body's neighbors": (
        "neighbors in its architecture's features agree more than in others'",
        "neighbors in its architecture's features agree less than in others'",
    ),
    "probe": ("its probe is above that of like nets", "its probe is below that of like nets"),
    "domain": ("its domain is near", "its domain is far"),
    "hscore": ("its features part the classes more than like nets'", "its features part the classes less"),
    "neighbors": ("its neighbors agree more than like nets'", "its neighbors agree less than like nets'"),
    "rows": ("there are many rows", "there are few rows"),
    "epochs": ("it is shown the rows often", "it is shown the rows seldom"),
    "classes": ("there are many classes", "there are few classes"),
    "shown": ("it learns from many items in all", "it learns from few items in all"),
    "checkpoint": ("what it came to on other samples", "what it came to on other samples"),
    "architecture": ("what nets like it came to", "what nets like it came to"),
    "strategy": ("what the strategy adds elsewhere", "what the strategy costs elsewhere"),
    "usual": ("what is usual", "what is usual"),
}
"""Each contribution in words, where the feature is above what is usual and where it is below."""


def contribution_words(
    points: Mapping[str, float], features: Mapping[str, float], usual: Mapping[str, float], most: int = 3
) -> list[str]:
    """The largest contributions, in words and points: what the feature is beside what is usual, and what it adds."""
    ordered = sorted(points, key=lambda name: -abs(points[name]))[:most]
    return [
        f"{worded(name, points, features, usual)} ({100 * points[name]:+.1f})"
        for name in ordered
        if abs(points[name]) >= _WORTH_A_WORD
    ]


def worded(name: str, points: Mapping[str, float], features: Mapping[str, float], usual: Mapping[str, float]) -> str:
    """What a feature is, in words: above or below what is usual."""
    return _WORDS[name][features.get(name, points[name]) < usual.get(name, 0.0)]
