"""The critic's memory: rules, prototypes, and how reflection adds to them.

| file | what |
|---|---|
| `embedders` | Embedders: where a case lies among the prototypes, and which rules say the same. One protocol for each |
| `gate` | Whether a rule has earned its place: does the critic rank held-out groups better with it than without? |
| `learning` | One session of reflection: a memory and labelled groups go in, a better memory and its proof come out |
| `memory` | The critic's memory: rules, prototypes and the ledger of how they came there |
| `memory_settings` | Settings of the memory: how much of it a case is shown, and how it is added to |
| `prototypes` | The critic's prototypes: overlays that were judged before, as yardsticks |
| `reflection` | Reflection: a critic's verdict is laid beside the truth |
| `rules` | The critic's rules: what one must look like, which are shown for a case, and which say the same |

May import: `critique.vlm.reply`.

To add an embedder: a class in `embedders` with its name.
"""
