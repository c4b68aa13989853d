"""The proving ground: is the advice worth having? design -> run -> report, by the rules of "Ranking quality"."""
