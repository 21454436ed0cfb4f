"""People as critics: which bodies they are shown, and what their answers say.

| file | what |
|---|---|
| `questions` | which groups and members are shown: those on which critics disagree, and whose bodies differ |
| `answers` | one answer, as a page sends it: who is better, and why |
| `verdicts` | the answers about a group as a verdict of critic `human@1` |
| `accuracy` | how often each critic orders two bodies as people do |

May import: `critique`, `storage.records`. Nothing here reads a file or draws a picture.
"""
