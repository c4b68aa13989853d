"""How advice is worded and drawn: numbers, sentences and bars for every surface; tables and progress for a terminal.

Everything here reads the JSON forms (`to_dict()`), so that advice just made and advice kept look the same.
"""

from registry.forms import Json
from ui.render.advice import advice_report, sample_report
from ui.render.bars import Bars
from ui.render.benefit import benefit_report
from ui.render.commands import command, program
from ui.render.distances import distance_report, near_table
from ui.render.doctor import doctor_report
from ui.render.history import forgotten_line, imported_report, record_report, results_table, sources_table
from ui.render.jobs import job_report, job_table
from ui.render.keys import key_table
from ui.render.predictions import answer_report
from ui.render.runs import cost_line, export_report, outcome_table, run_report, synced_table, unfinished_table
from ui.render.words import (
    about,
    amount,
    converted_words,
    doubt_words,
    duration,
    gained,
    give_or_take,
    interval,
    percent,
    percentage_points,
    progressed,
    sample_words,
    scored,
    scored_difference,
    scored_interval,
    size,
)
from ui.render.zoo import card_report, card_rows, checkpoint_table, domain_table, promoted_report

__all__ = [
    "Bars",
    "Json",
    "about",
    "advice_report",
    "amount",
    "answer_report",
    "benefit_report",
    "card_report",
    "card_rows",
    "checkpoint_table",
    "command",
    "converted_words",
    "cost_line",
    "distance_report",
    "doctor_report",
    "domain_table",
    "doubt_words",
    "duration",
    "export_report",
    "forgotten_line",
    "gained",
    "give_or_take",
    "imported_report",
    "interval",
    "job_report",
    "job_table",
    "key_table",
    "near_table",
    "outcome_table",
    "percent",
    "percentage_points",
    "program",
    "progressed",
    "promoted_report",
    "record_report",
    "results_table",
    "run_report",
    "sample_report",
    "sample_words",
    "scored",
    "scored_difference",
    "scored_interval",
    "size",
    "sources_table",
    "synced_table",
    "unfinished_table",
]
