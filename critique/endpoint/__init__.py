"""Requests to a chat-completions server, with cache, counts and budget; a loopback server for tests.

| file | what |
|---|---|
| `adaptation` | Parts of a request that a server refuses, by its error message, and the request without them. Pure |
| `cache` | Every paid answer, stored unchanged: the response cache and the ledger of one run, in one file |
| `completion` | Reads the body of a chat completion in the variants that servers send. Pure; its text is untrusted |
| `endpoint` | One request to a chat-completions endpoint and its answer: cached, counted, within the budget |
| `loopback` | A scriptable OpenAI-compatible server on 127.0.0.1: a test double for tests and dry runs |
| `loopback_auditor` | The loopback server with a blind spot, and its answers to audits: a test double for reflection |
| `stream` | Many groups through one asynchronous judge: a few at a time, with bounded memory |

May import: `critique.vlm` for prompts, replies and prices.

To add an adaptation to a server: a pattern in `adaptation`, from the server's error message.
"""
