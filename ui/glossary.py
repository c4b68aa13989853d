"""What the words of the advice mean, in a few words each: under the terminal's tables and beside the page's."""

from collections.abc import Mapping

__all__ = ["PLANS", "TERMS", "terms_of"]

TERMS: Mapping[str, str] = {
    "expected": "the test score that is foretold: the truth should lie in its interval 9 times of 10",
    "cost": "what carrying out the plan is estimated to take on this machine: time, memory",
    "coverage": "runs whose realized score lies in the interval that was foretold: it should be 9 of 10",
    "bias": "mean of realized minus expected: above 0 more was realized than expected",
    "off": "mean distance of realized from expected, whichever way",
    "controls": "the same rows without transfer, and the same net from random weights, are trained beside it",
    "tier": "within one, no difference lies beyond chance",
    "range test": "a few steps at ever higher rates before training: where one does harm, the plan's are lowered",
    "gain": "points above no transfer",
    "nearer than": "share of the known pairs of domains that lie farther apart",
    "unlabelled": "more of the same kind, whose labels nobody knows: a net may learn from them first",
    "effort": "normal: a race of all, then the best are probed; thorough: these are trained for a short while, too; "
    "quick: no row is shown to any checkpoint",
    "no transfer": "the better of a linear model and nearest neighbors on raw features, which its row names",
}
"""Words of the ranking and of a tuning."""
PLANS: Mapping[str, str] = {
    "prototype": "nearest class mean on frozen features",
    "knn": "a vote of the nearest training rows, on frozen features",
    "contrastive": "pairs of rows teach the features what a class is, then a linear head (SetFit)",
    "linear-probe": "a linear head on frozen features",
    "norm-only": "head and normalization layers learn, all else is frozen",
    "lora": "head and small adapters beside the frozen layers learn (LoRA)",
    "partial-1": "head and the last block learn",
    "partial-2": "head and the last two blocks learn",
    "partial-3": "head and the last three blocks learn",
    "surgical": "head and the one stretch of blocks learn that profits most",
    "lp-ft": "the linear probe first, then head and upper blocks learn on from it (LP-FT)",
    "discriminative": "all learns, lower blocks slower",
    "gradual-unfreezing": "one block more learns in every stage, from the top",
    "ulmfit": "gradual unfreezing, lower blocks slower",
    "domain-adaptive": "all learns from items without labels first, then as lp-ft",
    "full": "all learns at one rate",
    "scratch": "the same net from random weights",
}
"""The strategies that ship."""


def terms_of(strategies: list[str]) -> list[tuple[str, str]]:
    """The words that stand in a ranking of such strategies, with what each means, in reading order."""
    used = [(name, PLANS[name]) for name in dict.fromkeys(strategies) if name in PLANS]
    return [("tier", TERMS["tier"]), *used, ("nearer than", TERMS["nearer than"])]
