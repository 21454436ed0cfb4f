"""Critics: each judges all hypotheses of one person together and returns a verdict.

A verdict holds, for every hypothesis, a score of 0-100, a status and a comment. A critic that cannot judge
abstains: the score is NaN and the status says why; it is never 0. The protocol is `Critic` in critic.py.

    evidence.py  the default: the drawn mesh against the photograph's own evidence, and plausibility; fitted weights
                 (checks/: one check a file; ceiling.py: who misses the person is not praised)
    vlm.py       a vision-language model behind an OpenAI-compatible endpoint (vlm_settings.py, prompt.py,
                 reply.py: its settings, its words, its answers; endpoint.py, stream.py: the asynchronous shell;
                 blocks.py, aggregate.py, expectation.py: who is shown beside whom, and one score of several;
                 cache.py, cost.py, batch.py: what was paid, what it will cost, and at half the price)
    panel.py     several critics with weights; their disagreement is the uncertainty
    controls.py  whether a critic puts the planted truth first and a planted wrong mesh last
    loopback.py  a test double of a VLM server that judges by pixels; no critic
    memory.py    what a critic is shown of earlier judgements (rules.py, prototypes.py, embedders.py: their form,
                 their choice, where a case lies among them; memory_settings.py)
    learning.py  adds to a memory on labelled data (reflection.py: what is asked and answered; gate.py: whether a
                 rule has earned its place)
    scorer.py    learned from labelled people: distance to the joints that one expects (expected_joints.py), and
                 the checks
    learned.py   a network's raw scores, such as ScoreNet's, by their place in the group
    oracle.py    by the true error; upper bounds only
    shuffled.py  another critic's scores in a wrong order; the control
    scripted.py  a function of your own; tests and dry runs

May import: of ours, `storage.records` and the leaves `storage.finished_file` and `storage.safe_pickle` alone. No
Prefect, no torch.

To add a critic: one file with one class that has `name` ("word@version", raised when its scores change),
`needs_pictures` and `judge(group: DrawnGroup) -> Verdict`; then name it where `tasks` makes critics from
settings.
"""
