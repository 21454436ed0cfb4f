"""One question to a chat-completions server and what comes of it; the loopback server that stands in for one.

| file | what |
|---|---|
| `adaptation` | What of a request servers do not take, as their own words say it, and the request without it. Pure |
| `cache` | Every answer that was paid for, kept as it came: the response cache and the ledger of one run, in one file |
| `completion` | The body of a chat completion, as loose as servers are. Pure; whatever it says is untrusted text |
| `endpoint` | One question to a chat-completions endpoint and what came of it: kept, counted, within the budget |
| `loopback` | A scriptable OpenAI-compatible server on 127.0.0.1: a test double for tests and dry runs |
| `loopback_auditor` | The loopback server's blind spot, and its answers to audits: a test double for reflection |
| `stream` | Many groups through one asynchronous judge: a few at a time, taken as places come free, none piled up |

May import: `critique.vlm` for prompts, replies and prices.

To add an adaptation to a server: a pattern in `adaptation`, from the server's own words.
"""
