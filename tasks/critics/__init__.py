"""The critics of a run: by name, with memory, records, pending groups and a monitor.

| file | what |
|---|---|
| `critic_names` | The name and version under which a critic's verdicts are stored, found without asking its server |
| `critic_record` | What a critic's name and version stand for: stored with its verdicts |
| `judges` | Small judges: where they lie, which one speaks for a generation, and what asking the teacher saved |
| `monitoring` | A second critic of another kind that training never sees |
| `pending` | Groups that could not be judged, and why: those that are tried again |
| `rebuilt_request` | What a critic of the store was sent about a group: its requests made anew, and proved |
| `remembering` | The critic's memory between its store, its readable form and the critics that are shown it |
| `request_plan` | What judging the groups of a run would cost with a remote critic: nothing is sent |
| `scorenet` | The published network ScoreNet as a critic, on its own crop of each photograph |
| `shown_request` | What a vision-language critic would be sent about one group, as files to look at: nothing is sent |

May import: `tasks.run`, `tasks.groups`.

To add a critic: its name in `tasks.scoring.make_critic` and its settings in `tasks.run.settings`.
"""
