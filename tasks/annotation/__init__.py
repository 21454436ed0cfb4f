"""People judge bodies: the questions of a run, the page that asks them, and the answers in the store.

| file | what |
|---|---|
| `deck` | which questions a run has, and the pictures of one |
| `sitting` | one sitting from questions to verdicts, with a file instead of a server too |
| `page` | the page: for the server, or as one file that needs no other |
| `kept_answers` | the answers of a run, as verdicts of critic `human@1`, and how far critics agree with them |

`page_template.html` is the page, plain HTML with its script. `flows.server.annotation_server` serves it.

May import: `critique`, `storage`, `tasks.groups`, `tasks.run`.
"""
