"""`hmr-align data import`: labelled people of other datasets, written as records, with a page about the import.

| file | what |
|---|---|
| `import_page` | A page about an import: counts, and ten pictures with points, if the pictures are available |
| `importing` | Labelled people of another dataset's file, written as one Parquet file of records |

May import: `tasks.run`.

To add a column of the page: a function in `import_page`.
"""
