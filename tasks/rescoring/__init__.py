"""A critic, or a new version of one, that judges stored groups: which groups, at what cost, and what it changes.

| file | what |
|---|---|
| `chosen_groups` | Which groups are judged: those without a verdict, in what order, as many as the budget allows |
| `drift_report` | What the newer version changes: numbers, and a page with the groups on which they disagree most |

May import: `tasks.run`, `tasks.groups`, `tasks.critics`, `tasks.report`.

To add an order: a word in `[rescore] order` and its branch in `chosen_groups.choose`.
"""
