"""Critics: each judges all hypotheses of one person together and returns a verdict.

A verdict holds, for every hypothesis, a score of 0-100, a status and a comment. A critic that cannot judge
abstains: the score is NaN and the status says why; it is never 0. The protocol is `Critic` in critic.py.

    evidence.py  the default: the drawn mesh against the photograph's own evidence, and plausibility
    vlm.py       a vision-language model behind an OpenAI-compatible endpoint (vlm_settings.py, prompt.py,
                 reply.py: its settings, its words, its answers)
    memory.py    what a critic is shown of earlier judgements (rules.py, prototypes.py, embedders.py: their form,
                 their choice, where a case lies among them; memory_settings.py)
    learning.py  adds to a memory on labelled data (reflection.py: what is asked and answered; gate.py: whether a
                 rule has earned its place)
    learned.py   a network's raw scores, such as ScoreNet's, by their place in the group
    oracle.py    by the true error; upper bounds only
    shuffled.py  another critic's scores in a wrong order; the control
    scripted.py  a function of your own; tests and dry runs

May import: of ours, `storage.records` alone. No Prefect, no torch.

To add a critic: one file with one class that has `name` ("word@version", raised when its scores change),
`needs_pictures` and `judge(group: DrawnGroup) -> Verdict`; then name it where `tasks` makes critics from
settings.
"""
