"""`hmr-align view`, and the measurements of the viewer and the report.

| file | what |
|---|---|
| `report_benchmark` | Size and speed of the static report with many people |
| `view` | `hmr-align view`: a run in the browser, on this machine alone |
| `view_benchmark` | Speed of `hmr-align view` over many made-up groups, in a real browser |

May import: everything, but only inside of commands.
"""
