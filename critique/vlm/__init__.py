"""A vision-language model as a critic: what it is shown, how its answers are read, what it costs.

| file | what |
|---|---|
| `aggregate` | Combines the scores of several calls about one group: one score and standard error per hypothesis |
| `batch` | First questions as a batch: one JSONL file, answered within a day, often at half the price |
| `blocks` | Which hypotheses a remote critic is shown together in one call, and in which order. Pure |
| `contact_sheet` | One picture of many: overlays side by side in rows, each with its number burnt in. Pure |
| `cost` | What judging will cost, before anything is sent: requests, tokens, money and hours. Pure |
| `expectation` | Scores as expectations over a model's token probabilities, if the server gives them. Pure |
| `lenient_json` | JSON as models write it: also with single quotes, trailing commas, Python's constants and bare keys |
| `picture_encoder` | Pictures as the files that a vision-language critic is sent: JPEG, PNG or WebP, at most so large |
| `prompt` | Builds the messages of one call to a vision-language critic: role and task, memory, photograph, overlays |
| `reply` | Reads a remote critic's answer in all accepted forms. Its text is untrusted |
| `vlm_critic` | A vision-language model behind any OpenAI-compatible chat-completions endpoint, as a critic |
| `vlm_settings` | Settings of a remote critic, read once, and the checks that stop a run before it spends anything |

May import: `critique.endpoint`, `critique.memory`.

To add a way of showing a group: `blocks` (what is seen together) or `prompt` (how); a spelling of answers: `reply`.
"""
