"""Data in and out: datasets become records, records people, other models' outputs hypotheses; audits; tables of a run.

| file | what |
|---|---|
| `audit` | Leakage: what training, memory and test share, and which rewards knew the truth |
| `import_page` | A page about an import: counts, and ten pictures with points, if the pictures are available |
| `imported_people` | The user's own people in the place of a split of the studio, and their truth |
| `importing` | Labelled people of another dataset's file, written as one Parquet file of records |
| `picture_hash` | Pictures that look alike: a hash of brightness steps, and pairs of near hashes |
| `labelled_points` | A record's points by our names: 2-D keypoints as landmarks for critics, joints in space as truth |
| `predicted_groups` | Other models' outputs as hypotheses of groups in a run's store, beside our own or alone |
| `preference_groups` | Groups and pairs of GPA-HMR and ADHMR as hypotheses for people of a run |
| `prediction_errors` | How far other models' hypotheses, and ours beside them, are from the truth of a run's records |
| `ranking` | Which hypotheses of stored groups a critic ranks first, and who made them |
| `record_people` | The people of imported records, found in their pictures: a store, and their records beside it |
| `run_tables` | The tables that lie beside a store: overlays, metrics, the run, its critic's memory |
| `selection` | Which records of imported datasets a run takes: several files, one in so many, mixed by weights |
| `truth` | The truth of found people: bodies if the body in use can pose all of them, else joints |

May import: `tasks.run`, `tasks.groups`.

To add a column of the page: a function in `import_page`.
"""
