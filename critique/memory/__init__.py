"""The critic's memory: rules, prototypes, and how reflection adds to them.

| file | what |
|---|---|
| `embedders` | Embedders of people (to find similar prototypes) and of sentences (to find duplicate rules) |
| `gate` | Whether a rule is admitted: does the critic rank held-out groups better with it than without? |
| `learning` | One session of reflection: from a memory and labelled groups to a new memory and the measured gain |
| `memory` | The critic's memory: rules, prototypes and the ledger of their changes |
| `memory_settings` | Settings of the memory: how much of it a case is shown, and how it is added to |
| `prototypes` | The critic's prototypes: overlays that were judged before, as references |
| `reflection` | Reflection: compares a critic's verdict with the truth and asks a model for a rule |
| `rules` | The critic's rules: their required form, which are shown for a case, and which are duplicates |

May import: `critique.vlm.reply`.

To add an embedder: a class in `embedders` with its name.
"""
