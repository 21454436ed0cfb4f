"""The report of a run: its page, tables, plots and what it says of photographs.

| file | what |
|---|---|
| `photograph_agreement` | How well bodies lie on the people of photographs, where nobody knows the truth: evidence |
| `report` | The report of a run: one HTML file that needs no other file and no network |
| `report_figures` | Pictures of the report, ready to stand in a page: photographs as JPEG data URIs |
| `report_tables` | A run's numbers as people read them: one sentence, rows of a table, a markdown page |
| `summary` | All numbers of a run, as `summary.json` has them, from what its stages left in its folder |

May import: `tasks.groups`.

To add a section: a function in `report_tables`, and its place in the template.
"""
