"""The stages of `align`, a flow each: run by it in turn, by commands and by deployments one at a time.

    find_people.py      photographs to people
    sample_groups.py    people to groups of hypotheses
    render_overlays.py  pictures of groups, for critics that look at them
    score_groups.py     verdicts on groups
    train_policy.py     one round of fine-tuning
    run_benchmark.py    a model against the truth
    write_report.py     the report of a run
    save_pictures.py    pictures of a run's groups as files; not part of `align`

Each submits one task a shard to its task runner (`flows.record.shard_runner`); its results are in the run's folder. To
add a stage: as any flow (see `flows`), and its call in `flows/align.py`.
"""
