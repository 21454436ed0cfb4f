"""The report of a run: its page, tables, plots and results on photographs.

| file | what |
|---|---|
| `arms_page` | The page of the study of objectives: a table of its arms and the curves of best-of-M |
| `embedded_picture` | A picture as a data URI, for pages that are one file and for the dashboard |
| `photograph_agreement` | How well bodies match people in photographs without ground truth: evidence, not accuracy |
| `paper_plots` | Plots that papers show, as SVG and PDF with their data beside them |
| `report` | The report of a run: `report.html` and the folder `report` beside it; no network |
| `report_figures` | Plots of the report as inline SVG |
| `report_tables` | A run's numbers for people: one sentence, rows of a table, a markdown page |
| `study_curves` | Curves of that study: gain over verdicts, critics' favour by step, gain over rounds |
| `summary` | All numbers of a run, as in `summary.json`, from the files in its folder |
| `thumbnails` | Small copies of pictures beside the report, made once |

May import: `tasks.groups`.

To add a section: a function in `report_tables`, and its place in the template.
"""
