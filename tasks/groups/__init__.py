"""From files to people, groups and drawn groups, without Prefect: shared by the stages and `recover`.

| file | what |
|---|---|
| `folder_watch` | Whether a folder of photographs has changed since the last look. Free of prefect and torch |
| `image_search` | The photographs in a run's folders now, by their contents. Free of prefect and torch |
| `instances` | People of a dataset with true bodies: rows of a file, matched to who is found in the photographs |
| `known_groups` | Groups whose bodies are given instead of drawn by a model: planted controls |
| `look` | What decides how a body looks on a picture, by name: for digests of pictures and results |
| `overlays` | From a group to a drawn group: silhouettes for every critic, pictures for those that look |
| `people` | From a photograph to the records of its people. Free of prefect |
| `photograph_list` | From the user's arguments to photographs, and from photographs to names of folders |
| `pictures` | Pictures of people at the size that a network needs: as stored, or cut again from their photographs |
| `sampled_groups` | From people to groups of hypotheses by one model. Free of prefect |

May import: `tasks.run`.

To add a source of people: a function that returns `Person` records.
"""
