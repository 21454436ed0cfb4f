"""`hmr-align recover`: from one photograph to the files of its people.

| file | what |
|---|---|
| `files` | The files of recovered people: `person0.npz` with everything, `.obj` and `.glb` for other programs |
| `job` | One photograph -> its folder of results: read it, recover its people, write everything; the name comes last |
| `page` | The files beside the photographs' folders: `results.parquet`, `README.txt` and `index.html` |
| `pictures` | Pictures of recovered people: all in the photograph, each one alone, and each one's group |
| `record` | A short record of a photograph's results: `photograph.json` in its folder |
| `recovery` | The best mesh of each person of a photograph, and its alternatives: the core of `hmr-align recover` |

May import: `tasks.run`, `tasks.groups`.

To add a file format: a branch in `files`, and its name in the settings.
"""
