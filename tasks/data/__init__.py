"""Data in and out: labelled people of other datasets as records, what two sets share, the tables of a run.

| file | what |
|---|---|
| `audit` | Leakage: what training, memory and test share, and which rewards knew the truth |
| `import_page` | A page about an import: counts, and ten pictures with points, if the pictures are available |
| `run_tables` | The tables that lie beside a store: overlays, metrics, the run, its critic's memory |
| `importing` | Labelled people of another dataset's file, written as one Parquet file of records |
| `picture_hash` | Pictures that look alike: a hash of brightness steps, and pairs of near hashes |

May import: `tasks.run`, `tasks.groups`.

To add a column of the page: a function in `import_page`.
"""
