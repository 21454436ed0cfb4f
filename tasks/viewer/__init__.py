"""The viewer: `hmr-align view RUN` shows any number of groups in a browser, on this machine alone.

| file | what |
|---|---|
| `gallery` | All groups of a run as one table of columns, without reading a mesh |
| `selection` | Which groups are shown, in which order: filters, ranges, words and a sort key |
| `group_page` | All that is known of one group: verdicts of every critic, rules, raw answers |
| `asked` | What a vision-language critic was sent about a group, as the page shows it |
| `mesh` | Vertices, joints and faces for the browser; spread of the joints |
| `stored_crop` | The small picture of a person that the store keeps |
| `picture` | Photograph, overlay, side and top view, drawn when they are asked for |
| `run_page` | Stages, learning curves and results of a run |
| `comparison` | Two opinions on the same groups: who changed rank, by how much |
| `server` | The pages and answers: a Starlette application over one run, or two |
| `made_up_run` | A run with any number of made-up groups, for measuring and testing |
| `site/` | The page: plain modules, no build step; three.js (MIT) in `site/vendor` |

`server` and what it shows at first import no torch: the page is there before the first mesh is drawn.

May import: `tasks.groups`, `tasks.critics`, `tasks.report`, starlette; never prefect.

To show another number of a group: a column in `gallery`, its name in `selection.SORTS`, a line on the card.
"""
